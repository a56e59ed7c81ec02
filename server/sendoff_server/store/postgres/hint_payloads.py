"""Hints as NOTIFY takes them: less than 8,000 bytes each, and no NUL.

A payload is "<kind> <sender> <token> <token> …". Readers pass over kinds and tokens that they do not understand.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence

from google.protobuf.message import DecodeError

from sendoff import v1
from sendoff_server.store.hints import Gone, Hint, LanesWait, Missed, Text, Watches, Wrote

MAX_BYTES = 7_900
TEXT_BYTES = 5_400
"""Of a piece of text, so that it fits as base64, with its ids."""

Payload = tuple[str | None, str]
"""To which replica (None: to all), and what."""


def written(sender: str, hints: Iterable[Hint]) -> Iterator[Payload]:
    """What to send for these."""
    texts: dict[str, list[str]] = {}
    for hint in hints:
        match hint:
            case Wrote(run_ids):
                yield from ((None, payload) for payload in _packed(f"wrote {sender}", run_ids))
            case Gone(owner_ids):
                yield from ((None, payload) for payload in _packed(f"gone {sender}", owner_ids))
            case LanesWait():
                yield None, f"lanes {sender}"
            case Watches():
                yield from ((None, payload) for payload in _packed(f"watches {sender}", _watches_tokens(hint)))
            case Text():
                texts.setdefault(hint.to, []).extend(_text_tokens(hint))
            case Missed():
                pass  # is never sent
    for to, tokens in texts.items():
        yield from ((to, payload) for payload in _packed(f"text {sender}", tokens))


def read(payload: str) -> tuple[str, list[Hint]]:
    """The sender, and what of it can be understood."""
    kind, _, rest = payload.partition(" ")
    sender, *tokens = rest.split(" ")
    try:
        match kind:
            case "wrote":
                return sender, [Wrote(tokens)]
            case "gone":
                return sender, [Gone(tokens)]
            case "lanes":
                return sender, [LanesWait()]
            case "watches":
                return sender, [_read_watches(tokens)]
            case "text":
                return sender, [_read_text(token) for token in tokens]
    except (ValueError, DecodeError):
        pass  # whatever wrote it, we go on without hints
    return sender, []


def _packed(head: str, tokens: Iterable[str]) -> Iterator[str]:
    payload = head
    for token in tokens:
        if len(payload) + 1 + len(token) > MAX_BYTES:
            yield payload
            payload = head
        payload += f" {token}"
    if payload != head:
        yield payload


# ---- who watches ----


def _watches_tokens(watches: Watches) -> Iterator[str]:
    yield from (f"-{run_id}" for run_id in watches.over)
    yield from (f"+{run_id}" for run_id in watches.begin)
    yield from (f"={run_id}:{held}" for run_id, held in watches.still.items())


def _read_watches(tokens: Sequence[str]) -> Watches:
    still = [token[1:].rpartition(":") for token in tokens if token[:1] == "="]
    return Watches(
        begin=[token[1:] for token in tokens if token[:1] == "+"],
        still={run_id: int(held) for run_id, _, held in still},
        over=[token[1:] for token in tokens if token[:1] == "-"],
    )


# ---- text ----


def _text_tokens(text: Text) -> Iterator[str]:
    for piece in _pieces(text.delta):
        yield f"{text.run_id}:{text.sequence}:{b64encode(piece.SerializeToString()).decode()}"


def _pieces(delta: v1.MessageDelta) -> Iterator[v1.MessageDelta]:
    kind = delta.WhichOneof("delta") or "text"
    rest: bytes = getattr(delta, kind).encode()
    offset = delta.offset
    while rest:
        text = rest[:TEXT_BYTES].decode(errors="ignore")  # without the character that it was cut in
        piece = v1.MessageDelta(message_id=delta.message_id, part_index=delta.part_index, offset=offset)
        setattr(piece, kind, text)
        yield piece
        rest = rest[len(text.encode()) :]
        offset += len(text)


def _read_text(token: str) -> Text:
    run_id, sequence, piece = token.split(":")
    return Text("", run_id, int(sequence), v1.MessageDelta.FromString(b64decode(piece, validate=True)))
