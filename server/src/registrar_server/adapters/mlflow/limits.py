"""Fit what the registry holds into what MLflow takes.

The registry's database holds the truth in full; MLflow shows a copy. So a value that is too long is cut and ends in
an ellipsis, and a key MLflow refuses is mapped to one that it takes, rather than that the mirror fails for ever.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping

import structlog

# Lengths in characters. PostgreSQL enforces its columns (SQLite does not): 5,000 for descriptions and for tags of
# models, 500 for a source, 32 for a run id. Tags of versions may be longer in 3.17 (100,000), not in older servers.
MAX_TAG_CHARACTERS = 5_000
MAX_DESCRIPTION_CHARACTERS = 5_000
MAX_SOURCE_CHARACTERS = 500
MAX_RUN_ID_CHARACTERS = 32
MAX_PARAMETER_CHARACTERS = 6_000
MAX_KEY_CHARACTERS = 250

# One `log_batch`: 100 parameters, 1,000 metrics, and 1,000,000 characters of JSON over HTTP.
MAX_PARAMETERS_PER_BATCH = 100
MAX_METRICS_PER_BATCH = 1_000
MAX_BATCH_CHARACTERS = 800_000

UID_TAG = "registrar.uid"

_ELLIPSIS = "…"
_DIGEST_CHARACTERS = 8
_REFUSED_CHARACTERS = re.compile(r"[^/\w.\- :]")

_log = structlog.get_logger(__name__)


def fit_text(value: str, limit: int) -> str:
    """The text, cut to `limit` characters with an ellipsis at the end.

    NUL is replaced: PostgreSQL has no way to store it. So are lone surrogates: they have no UTF-8.
    """
    storable = value.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
    return storable if len(storable) <= limit else storable[: limit - 1] + _ELLIPSIS


def fit_key(key: str) -> str:
    """A key of a tag, parameter or metric as MLflow takes it: the same text for the same key, always.

    MLflow takes letters, digits and `/_.- :`, at most 250 characters, and refuses what is not a normal relative
    path (`a//b`, `../a`, `/a`, `a/.`), because some of its stores make files of keys. Refused characters and
    segments become underscores; a key that was changed gets a digest of the original, so that two keys never
    become one.
    """
    fitted = "/".join(_fit_segment(segment) for segment in _REFUSED_CHARACTERS.sub("_", key).split("/"))
    if fitted.startswith(".."):
        fitted = "__" + fitted[2:]
    if fitted == key and len(key) <= MAX_KEY_CHARACTERS and posixpath.normpath(key) == key:
        return key
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{fitted[: MAX_KEY_CHARACTERS - 1 - _DIGEST_CHARACTERS]}-{digest}"


def _fit_segment(segment: str) -> str:
    return segment.replace(".", "_") or "_" if segment in {"", ".", ".."} else segment


def fit_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags of a version or model with keys and values that MLflow takes; what it must not be told is left out."""
    return {fit_key(key): fit_text(tags[key], MAX_TAG_CHARACTERS) for key in _mirrored(tags)}


def fit_tag_keys(keys: Iterable[str]) -> list[str]:
    """Keys of tags to delete, as `fit_tags` wrote them."""
    return [fit_key(key) for key in _mirrored(keys)]


def _mirrored(keys: Iterable[str]) -> Iterator[str]:
    """All but two kinds of keys, which are left out with a log line.

    `registrar.uid` is how a version is found again. `mlflow.prompt.…` would make MLflow treat the model as a
    prompt: it would vanish from the list of models.
    """
    for key in keys:
        if key == UID_TAG or key.startswith("mlflow.prompt."):
            _log.warning("mlflow.tag_skipped", key=key)
        else:
            yield key


def batches(
    parameters: Mapping[str, str], metrics: Mapping[str, float]
) -> Iterator[tuple[dict[str, str], dict[str, float]]]:
    """Parameters and metrics, fitted, in portions that one `log_batch` takes."""
    portion: dict[str, str] = {}
    characters = 0
    for key, value in parameters.items():
        fitted = fit_text(value, MAX_PARAMETER_CHARACTERS)
        length = len(json.dumps(fitted))
        if len(portion) == MAX_PARAMETERS_PER_BATCH or characters + length > MAX_BATCH_CHARACTERS:
            yield portion, {}
            portion, characters = {}, 0
        portion[fit_key(key)] = fitted
        characters += length
    if portion:
        yield portion, {}
    items = [(fit_key(key), value) for key, value in metrics.items()]
    for start in range(0, len(items), MAX_METRICS_PER_BATCH):
        yield {}, dict(items[start : start + MAX_METRICS_PER_BATCH])
