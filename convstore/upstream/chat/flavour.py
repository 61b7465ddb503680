"""What Chat Completions servers want written differently."""

from dataclasses import dataclass
from urllib.parse import urlsplit

_OPENAI_HOSTS = (".openai.com", ".openai.azure.com")

# OpenAI's models from before the developer role: there it is at best read as system, at worst refused.
_BEFORE_DEVELOPER = ("gpt-3.5", "gpt-4", "chatgpt-4o", "o1-mini", "o1-preview")


@dataclass(frozen=True)
class Flavour:
    """What one Chat Completions server wants written differently.

    max_tokens      its name for max_output_tokens
    developer_role  it knows the role developer, otherwise system is said instead
    openai_extras   it knows OpenAI's own parameters and the refusal field
    thinking        it takes DeepSeek's thinking switch, and wants reasoning_content back along with tools
    """

    max_tokens: str = "max_tokens"
    developer_role: bool = False
    openai_extras: bool = False
    thinking: bool = False


PLAIN = Flavour()


def flavour_of(base_url: str, model: str) -> Flavour:
    """The flavour of the server at *base_url* when asked for *model*.

    OpenAI (with its regional hosts and Azure) and DeepSeek are known by their hosts; all others are plain.
    """
    host = "." + (urlsplit(base_url).hostname or "")
    if host.endswith(_OPENAI_HOSTS):
        return Flavour("max_completion_tokens", developer_role=_knows_developer(model), openai_extras=True)
    if host.endswith(".deepseek.com"):
        return Flavour(thinking=True)
    return PLAIN


def _knows_developer(model: str) -> bool:
    return not model.removeprefix("ft:").startswith(_BEFORE_DEVELOPER)
