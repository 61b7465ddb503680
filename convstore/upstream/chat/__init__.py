"""Between the Responses API and Chat Completions, both ways, as pure functions.

    request.py   a Responses request and its whole context -> the body of POST /chat/completions
    reply.py     a completion -> a partial Responses object
    stream.py    chat chunks -> Responses events, in the API's order

Nothing here sends, stores or waits. Numbering events, minting ids, normalising usage and filling in the
rest of the response are the core's work. Source: docs/api.md, dialects.
"""

from convstore.upstream.chat.flavour import Flavour, flavour_of
from convstore.upstream.chat.reply import response_of
from convstore.upstream.chat.request import chat_request
from convstore.upstream.chat.stream import ChatStream
from convstore.upstream.chat.tools import names_of

__all__ = ["ChatStream", "Flavour", "chat_request", "flavour_of", "names_of", "response_of"]
