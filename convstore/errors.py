"""The errors convstore raises on purpose, as one tree.

An error's docstring is its message when no better one is given, and its class is its contract: callers catch
classes, never texts. There is no HTTP here; `api/errors.py` maps the classes to statuses. Bodies and keys stay
out of messages.

    ConvstoreError
    ├── Misconfigured                 the service cannot start like this
    ├── InvalidRequest                the caller must change the request
    │   ├── PreviousResponseNotFound, ParentUnfinished, NotFinished, DuplicateItem, CallWithoutOutput, OutputWithoutCall
    │   ├── ModelNotFound, UnsupportedParameter, ContextTooLong, UnknownCurrency,
    │   ├── BillUnreadable, Unreadable, FormatUnavailable, SearchUnavailable
    │   ├── ConversationLocked            somebody else is writing there; later it may do
    │   └── BodyTooLarge
    ├── Unauthenticated, Forbidden
    ├── BudgetExhausted               nothing is left to spend; the upstream was not called
    ├── NotFound                      absent, deleted and somebody else's are the same
    ├── Conflict                      IdempotencyMismatch, IdempotencyInProgress, BranchTaken, BranchMoved,
    │                                 BudgetTaken, PricesOverlap, RuleTaken,
    │                                 ThreadDamaged, ContentUnreadable
    ├── ContentShredded               its key was destroyed: nobody can read it any more
    ├── StorageUnavailable, SchemaOutdated, Mistake (of our own)
    └── UpstreamError                 UpstreamUnreachable, UpstreamTimeout, UpstreamRefused, UpstreamGarbled,
                                      UpstreamCut, UpstreamHungUp, UpstreamBusy
"""

import inspect


class ConvstoreError(Exception):
    """Something went wrong."""

    code: str | None = None
    param: str | None = None

    def __init__(self, message: str | None = None, *, param: str | None = None, code: str | None = None) -> None:
        self.message = message or inspect.cleandoc(type(self).__doc__ or "").split("\n\n")[0].replace("\n", " ")
        if param is not None:
            self.param = param
        if code is not None:
            self.code = code
        super().__init__(self.message)


class Misconfigured(ConvstoreError):
    """A setting is missing or wrong."""


# -- the caller's ---------------------------------------------------------------------------------------------


class InvalidRequest(ConvstoreError):
    """The request is not valid."""


class PreviousResponseNotFound(InvalidRequest):
    """No response that could be continued has this id."""

    code = "previous_response_not_found"
    param = "previous_response_id"

    def __init__(self, response_id: str) -> None:
        super().__init__(f"Previous response with id '{response_id}' not found.")


class ParentUnfinished(InvalidRequest):
    """The response to continue is still being made."""

    code = "invalid_value"
    param = "previous_response_id"

    def __init__(self, response_id: str) -> None:
        super().__init__(
            f"Previous response with id '{response_id}' is not finished yet. Wait for its end before continuing it."
        )


class NotFinished(InvalidRequest):
    """What is to be asked again is still being answered."""

    code = "response_not_finished"

    def __init__(self, response_id: str) -> None:
        super().__init__(f"Response '{response_id}' is not finished yet. Wait for its end, or cancel it.")


class ConversationLocked(InvalidRequest):
    """Another process is currently operating on this conversation. Please retry in a few seconds."""

    code = "conversation_locked"
    param = "conversation"


class DuplicateItem(InvalidRequest):
    """The same item stands twice in front of the model."""

    param = "input"

    def __init__(self, item_id: str, *, param: str | None = None) -> None:
        super().__init__(
            f"Duplicate item found with id {item_id}. Remove duplicate items from your input and try again.",
            param=param,
        )


class CallWithoutOutput(InvalidRequest):
    """A tool call has not been answered."""

    param = "input"

    def __init__(self, call_id: str) -> None:
        super().__init__(f"No tool output found for function call {call_id}.")


class OutputWithoutCall(InvalidRequest):
    """A tool output answers no call."""

    param = "input"

    def __init__(self, call_id: str) -> None:
        super().__init__(f"No tool call found for function call output with call_id {call_id}.")


class UnknownCurrency(InvalidRequest):
    """Prices cannot be in this currency."""

    code = "unknown_currency"

    def __init__(self, currency: str, param: str = "currency") -> None:
        super().__init__(
            f"Unknown currency '{currency}': expected a code of ISO 4217, like 'USD' or 'CNY', "
            "or one that the setting CONVSTORE_CURRENCIES names.",
            param=param,
        )


class BillUnreadable(InvalidRequest):
    """The file is not a bill that can be read."""

    code = "invalid_file"

    def __init__(self, line: int, column: str | None, reason: str) -> None:
        where = f"line {line}" + (f", column '{column}'" if column else "")
        super().__init__(f"Invalid file, {where}: {reason}.", param=column)


class Unreadable(InvalidRequest):
    """The file cannot be read.

    place: where in the file, "line 17", "conversation 3", "member a/b.json". Of what was said there, nothing is told.
    """

    code = "invalid_file"

    def __init__(self, reason: str, place: str | None = None) -> None:
        super().__init__(f"The file cannot be read: {place + ': ' if place else ''}{reason}.")
        self.place = place
        self.reason = reason


class ModelNotFound(InvalidRequest):
    """No upstream serves this model."""

    code = "model_not_found"
    param = "model"

    def __init__(self, model: str) -> None:
        super().__init__(f"The requested model '{model}' does not exist.")


class UnsupportedParameter(InvalidRequest):
    """This value cannot be expressed to the model's upstream."""

    code = "unsupported_parameter"


class ContextTooLong(InvalidRequest):
    """Your input exceeds the context window of this model. Please adjust your input and try again."""

    code = "context_length_exceeded"
    param = "input"


class BodyTooLarge(InvalidRequest):
    """The request body is larger than this service accepts."""

    code = "request_too_large"


class Unauthenticated(ConvstoreError):
    """The request carries no valid API key."""


class Forbidden(ConvstoreError):
    """This API key does not have the scope that the call needs."""

    code = "insufficient_permissions"


class BudgetExhausted(ConvstoreError):
    """A hard budget is used up: the model was not asked."""

    code = "insufficient_quota"

    def __init__(self, name: str, amount: str) -> None:
        super().__init__(
            f"The budget '{name}' of {amount} is used up; the model was not asked. "
            "It takes calls again when its period is over, or when it is raised (POST /v1/budgets)."
        )


class NotFound(ConvstoreError):
    """No such thing, or not yours."""


class ConversationNotFound(NotFound):
    """No conversation with this id belongs to this project."""

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"Conversation with id '{conversation_id}' not found.")


class ConversationItemNotFound(NotFound):
    """No item of this conversation has this id."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"Item with id '{item_id}' not found in conversation.")


class ResponseNotFound(NotFound):
    """No response with this id belongs to this project."""

    def __init__(self, response_id: str) -> None:
        super().__init__(f"Response with id '{response_id}' not found.")


class BranchNotFound(NotFound):
    """No branch of this name belongs to this project."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Branch '{name}' not found.")


class PriceNotFound(NotFound):
    """No price of this project's has this id."""

    def __init__(self, price_id: str) -> None:
        super().__init__(f"Price with id '{price_id}' not found.")


class BudgetNotFound(NotFound):
    """No budget with this id belongs to this project."""

    def __init__(self, budget_id: str) -> None:
        super().__init__(f"Budget with id '{budget_id}' not found.")


class RuleNotFound(NotFound):
    """No retention rule with this id belongs to this project."""

    def __init__(self, rule_id: str) -> None:
        super().__init__(f"Rule with id '{rule_id}' not found.")


class HoldNotFound(NotFound):
    """No hold with this id belongs to this project."""

    def __init__(self, hold_id: str) -> None:
        super().__init__(f"Hold with id '{hold_id}' not found.")


class ItemNotFound(NotFound):
    """No stored item has this id."""

    param = "input"

    def __init__(self, item_id: str) -> None:
        super().__init__(
            f"Item with id '{item_id}' not found. Items are not persisted when 'store' is set to false. "
            "Try again with 'store' set to true, or remove this item from your input."
        )


class ContentShredded(ConvstoreError):
    """What was said here was shredded: the key that it was encrypted with is destroyed."""

    code = "content_shredded"


class FormatUnavailable(InvalidRequest):
    """This format cannot be written here."""

    code = "format_unavailable"
    param = "format"

    def __init__(self, form: str, extra: str) -> None:
        super().__init__(f"The format '{form}' needs a package that is not installed. Run: pip install '{extra}'")


class SearchUnavailable(InvalidRequest):
    """What was said is encrypted, so it cannot be searched for; filters work."""

    code = "search_unavailable"

    def __init__(self, param: str) -> None:
        super().__init__(param=param)


class Conflict(ConvstoreError):
    """The request collides with another one."""


class IdempotencyMismatch(Conflict):
    """This Idempotency-Key was used before with another request body. Use a new key for a new request."""

    code = "idempotency_key_reused"


class IdempotencyInProgress(Conflict):
    """The request with this Idempotency-Key is still running. Try again in a few seconds."""

    code = "idempotency_in_progress"


class ThreadDamaged(Conflict):
    """What is stored of the thread does not lead to its beginning."""

    code = "thread_damaged"

    def __init__(self, response_id: str) -> None:
        super().__init__(
            f"What is stored of the thread to '{response_id}' does not lead to its beginning. "
            "Whoever runs this service can find out why with 'convstore doctor'."
        )


class ContentUnreadable(Conflict):
    """What is stored was sealed otherwise, or was changed since: it cannot be opened. See 'convstore audit verify'."""

    code = "content_unreadable"


class BranchTaken(Conflict):
    """Another branch of the project has this name."""

    code = "branch_exists"
    param = "name"

    def __init__(self, name: str) -> None:
        super().__init__(f"A branch named '{name}' exists already. Move it, or choose another name.")


class BudgetTaken(Conflict):
    """Another budget of the project has this name."""

    code = "budget_exists"
    param = "name"

    def __init__(self, name: str) -> None:
        super().__init__(f"A budget named '{name}' exists already. Delete it first, or choose another name.")


class RuleTaken(Conflict):
    """Another retention rule of the project has this name."""

    code = "rule_exists"
    param = "name"

    def __init__(self, name: str) -> None:
        super().__init__(f"A retention rule named '{name}' exists already. Change it, or choose another name.")


class PricesOverlap(Conflict):
    """There is a price for the same at the same time."""

    code = "prices_overlap"
    param = "effective_from"


class BranchMoved(Conflict):
    """The branch does not point where the caller thinks."""

    code = "branch_moved"
    param = "expected"

    def __init__(self, name: str, tip_id: str) -> None:
        super().__init__(f"The branch '{name}' points at '{tip_id}' by now.")


# -- ours -----------------------------------------------------------------------------------------------------


class StorageUnavailable(ConvstoreError):
    """The database cannot be reached right now; nothing was sent to the model. Please try again."""

    code = "storage_unavailable"


class AnswerNotStored(StorageUnavailable):
    """The model was asked, but what it answered could not be stored yet. Asking again would be another call to it."""

    def __init__(self, response_id: str) -> None:
        super().__init__(
            "The model was asked, but what it answered could not be stored yet. It will be, as soon as the database "
            f"can be written: retrieve '{response_id}' then. Asking again would be another call to the model."
        )


class Mistake(ConvstoreError):
    """The server had an error while processing your request. Sorry about that!"""

    code = "server_error"


class SchemaOutdated(Misconfigured):
    """The database schema is not the one this version needs. Run: convstore db upgrade"""


# -- the upstream's -------------------------------------------------------------------------------------------


class UpstreamError(ConvstoreError):
    """The model provider did not answer the request.

    permanent      trying the same again cannot help
    retry_after_s  what the upstream asked us to wait, in seconds
    status         the upstream's HTTP status, when it gave one
    passed_on      `message`, `code` and `param` are the upstream's own words, and its status may be shown
    """

    code: str | None = "upstream_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        status: int | None = None,
        permanent: bool = False,
        retry_after_s: float | None = None,
        param: str | None = None,
        code: str | None = None,
        error_type: str | None = None,
        passed_on: bool = False,
    ) -> None:
        super().__init__(message, param=param, code=code)
        if passed_on:
            self.code = code  # the upstream's own word, null included
        self.status = status
        self.permanent = permanent
        self.retry_after_s = retry_after_s
        self.error_type = error_type
        self.passed_on = passed_on


class UpstreamUnreachable(UpstreamError):
    """The model provider could not be reached."""

    code = "upstream_unreachable"


class UpstreamTimeout(UpstreamError):
    """The model provider did not answer in time."""

    code = "upstream_timeout"


class UpstreamRefused(UpstreamError):
    """The model provider answered with an error."""


class UpstreamGarbled(UpstreamError):
    """The model provider's answer could not be understood."""

    code = "upstream_invalid_answer"


class UpstreamCut(UpstreamError):
    """The model provider's stream ended before the answer was complete."""

    code = "upstream_stream_cut"


class UpstreamHungUp(UpstreamError):
    """The call to the model provider was ended before its answer."""

    code = "cancelled"


class UpstreamBusy(UpstreamError):
    """The model provider failed repeatedly and is given a pause. Please try again shortly."""

    code = "upstream_unavailable"
