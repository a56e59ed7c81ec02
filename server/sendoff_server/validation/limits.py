"""The numbers of the contract's rules that more than one place needs; `GetServerInfo` tells them."""

from __future__ import annotations

MAX_MESSAGES = 1_000
"""Messages of one request."""
MAX_PARTS = 256
"""Parts of one content; also answers of one approval, tools and skills of one request."""
MAX_TEXT_BYTES = 4 * 1024 * 1024
MAX_IMAGE_BYTES = 20 * 1024 * 1024
MAX_NAME_BYTES = 256
"""Size of the id of a tool call, and of the name of its tool."""
MAX_SYSTEM_BYTES = 1024 * 1024
MAX_JSON_BYTES = 1024 * 1024
MAX_JSON_DEPTH = 64
MAX_RUN_METADATA_BYTES = 16 * 1024
MAX_KEY_CHARACTERS = 255
"""Length of request_id, idempotency key and OTID."""
MAX_LABELS = 64
MAX_TAGS = 64
MAX_SEARCH_CHARACTERS = 255
"""Of a text that is looked for in names, labels, values."""
MAX_BLOCK_CHARACTERS = 100_000
DEFAULT_BLOCK_CHARACTERS = 20_000
MAX_AGENT_BLOCKS = 64
MAX_AGENT_TOOLS = 256
MAX_DISPATCH_PAUSES = 1_000
"""Of a tenant. Whoever takes leases knows all of them."""
MAX_ENDPOINTS = 50
"""Receivers of callbacks that a tenant may have."""
MAX_SECRETS = 5
"""Secrets of an endpoint that sign at the same time."""
MAX_STEPS = 1_000
MAX_RUN_TIMEOUT_S = 7 * 24 * 3_600
LEAST_RETENTION_S = 3_600
MAX_RETENTION_S = 36_500 * 24 * 3_600
MAX_QUEUE_TTL_S = 7 * 24 * 3_600
MAX_ACTION_TIMEOUT_S = 365 * 24 * 3_600
MAX_PAGE_SIZE = 1_000
"""Greater page sizes are read as this one."""
MAX_WAIT_S = 55
"""Longer waits are read as this one."""
MAX_VIOLATIONS = 100
"""So many are told of one request; then the search ends."""
