"""The bounds of a request, in one place: `GetServerInfo` announces them, `validation` enforces them."""

from __future__ import annotations

DESCRIPTION_CHARACTERS = 5_000
COMMENT_CHARACTERS = 5_000
NOTE_CHARACTERS = 1_000
URI_CHARACTERS = 2_000
LABEL_CHARACTERS = 256
LONG_LABEL_CHARACTERS = 1_000
TAGS = 100
TAG_KEY_CHARACTERS = 128
TAG_VALUE_CHARACTERS = 5_000
METRICS = 1_000
METRIC_NAME_CHARACTERS = 250
SLICES = 1_000
TENSORS = 10_000
DATASETS = 100
FLAVORS = 50
COMPARED_VERSIONS = 20
GRANTS = 50
"""Grants of a role, and entries in each list that limits one."""
BINDINGS = 200
"""Bindings of one member in one tenant, or in all tenants together."""
TOKEN_SECONDS = 90 * 86_400
TOKEN_SECONDS_MINIMUM = 60
TOKEN_SECONDS_MAXIMUM = 366 * 86_400

BUNDLE_FILES = 20_000
PATH_BYTES = 512
FILE_BYTES = 5 * 2**40
BUNDLE_PATHS_BYTES = 8 * 2**20
"""All paths of a manifest together: the manifest must fit a message."""

CHUNK_BYTES = 2**20
RANGES = 1_000
"""Ranges that one stream announces."""
PARTS_AT_ONCE = 1_000
"""Parts that one call gives URLs for, or records."""
UPLOAD_RANGES_LISTED = 50_000
URLS_AT_ONCE = 1_000
"""Files that one call gives URLs for."""
URL_SECONDS = 900
URL_SECONDS_MAXIMUM = 3_600
MESSAGE_BYTES = 16 * 2**20
METADATA_BYTES = 16 * 2**10

PAGE_SIZE = 100
PAGE_SIZE_MAXIMUM = 1_000
FILES_PAGE_SIZE = 1_000
FILES_PAGE_SIZE_MAXIMUM = 5_000
