"""Is a request as the contract wants it?

One `check_...` function per request: pure, hand-written because that is ten times faster than a rule engine. It raises
`errors.InvalidRequest` with every violation and its field path, up to a hundred, or `errors.Unsupported` naming what
the contract carries and this version does not honour yet. The rules themselves stand in the comments of the protos, and
a test walks those comments.
"""

from sendoff_server.validation.actions import check_list_pending_actions as check_list_pending_actions
from sendoff_server.validation.actions import check_respond_to_actions as check_respond_to_actions
from sendoff_server.validation.agents import UPDATABLE as UPDATABLE
from sendoff_server.validation.agents import check_compile_system as check_compile_system
from sendoff_server.validation.agents import check_count_agents as check_count_agents
from sendoff_server.validation.agents import check_create_agent as check_create_agent
from sendoff_server.validation.agents import check_delete_agent as check_delete_agent
from sendoff_server.validation.agents import check_get_agent as check_get_agent
from sendoff_server.validation.agents import check_list_agents as check_list_agents
from sendoff_server.validation.agents import check_list_tags as check_list_tags
from sendoff_server.validation.agents import check_update_agent as check_update_agent
from sendoff_server.validation.blocks import BLOCK_UPDATABLE as BLOCK_UPDATABLE
from sendoff_server.validation.blocks import check_block_fits as check_block_fits
from sendoff_server.validation.blocks import check_create_block as check_create_block
from sendoff_server.validation.blocks import check_delete_block as check_delete_block
from sendoff_server.validation.blocks import check_get_block as check_get_block
from sendoff_server.validation.blocks import check_list_blocks as check_list_blocks
from sendoff_server.validation.blocks import check_update_block as check_update_block
from sendoff_server.validation.conversations import CONVERSATION_UPDATABLE as CONVERSATION_UPDATABLE
from sendoff_server.validation.conversations import check_compact_conversation as check_compact_conversation
from sendoff_server.validation.conversations import check_create_conversation as check_create_conversation
from sendoff_server.validation.conversations import check_delete_conversation as check_delete_conversation
from sendoff_server.validation.conversations import check_fork_conversation as check_fork_conversation
from sendoff_server.validation.conversations import check_get_conversation as check_get_conversation
from sendoff_server.validation.conversations import check_get_conversation_context as check_get_conversation_context
from sendoff_server.validation.conversations import check_get_message as check_get_message
from sendoff_server.validation.conversations import check_list_conversations as check_list_conversations
from sendoff_server.validation.conversations import check_list_messages as check_list_messages
from sendoff_server.validation.conversations import check_reset_conversation as check_reset_conversation
from sendoff_server.validation.conversations import check_update_conversation as check_update_conversation
from sendoff_server.validation.create_message import IDEMPOTENCY_KEY as IDEMPOTENCY_KEY
from sendoff_server.validation.create_message import check_create_message as check_create_message
from sendoff_server.validation.create_message import check_idempotency_key as check_idempotency_key
from sendoff_server.validation.create_message import payload_violation as payload_violation
from sendoff_server.validation.files import check_create_file as check_create_file
from sendoff_server.validation.files import check_delete_file as check_delete_file
from sendoff_server.validation.files import check_get_file as check_get_file
from sendoff_server.validation.files import check_list_files as check_list_files
from sendoff_server.validation.receiving import check_receipt as check_receipt
from sendoff_server.validation.receiving import check_subscribe as check_subscribe
from sendoff_server.validation.runs import check_cancel_run as check_cancel_run
from sendoff_server.validation.runs import check_delete_run as check_delete_run
from sendoff_server.validation.runs import check_get_run as check_get_run
from sendoff_server.validation.runs import check_list_run_events as check_list_run_events
from sendoff_server.validation.runs import check_list_run_messages as check_list_run_messages
from sendoff_server.validation.runs import check_list_runs as check_list_runs
from sendoff_server.validation.runs import check_wait_run as check_wait_run
from sendoff_server.validation.runs import check_watch_run as check_watch_run
from sendoff_server.validation.steps import check_get_step as check_get_step
from sendoff_server.validation.steps import check_list_step_messages as check_list_step_messages
from sendoff_server.validation.steps import check_list_steps as check_list_steps
from sendoff_server.validation.steps import check_update_step_feedback as check_update_step_feedback
from sendoff_server.validation.tools import TOOL_OVERRIDABLE as TOOL_OVERRIDABLE
from sendoff_server.validation.tools import TOOL_UPDATABLE as TOOL_UPDATABLE
from sendoff_server.validation.tools import check_delete_tool as check_delete_tool
from sendoff_server.validation.tools import check_get_tool as check_get_tool
from sendoff_server.validation.tools import check_list_tools as check_list_tools
from sendoff_server.validation.tools import check_upsert_tool as check_upsert_tool
from sendoff_server.validation.unsupported import check_supported as check_supported
