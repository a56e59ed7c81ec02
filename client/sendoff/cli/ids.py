"""What commands are about: the arguments and options that name things of the server, which the shell completes."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from sendoff.cli import completion as c

_RUN = typer.Argument(metavar="RUN", help="Id of the run.", autocompletion=c.run_ids)
_STEP = typer.Argument(metavar="STEP", help="Id of the step.", autocompletion=c.step_ids)
_AGENT = typer.Argument(metavar="AGENT", help="Id of the agent.", autocompletion=c.agent_ids)
_BLOCK = typer.Argument(metavar="BLOCK", help="Id of the memory block.", autocompletion=c.block_ids)
_FILE = typer.Argument(metavar="FILE", help="Id of the file.", autocompletion=c.file_ids)
_TOOL = typer.Argument(metavar="TOOL", help="Id of the tool, or its name.", autocompletion=c.tools)
_ENDPOINT = typer.Argument(metavar="ENDPOINT", help="Id of the endpoint.", autocompletion=c.endpoint_ids)
_DELIVERY = typer.Argument(metavar="DELIVERY", help="Id of the delivery.", autocompletion=c.delivery_ids)
_CONVERSATION = typer.Argument(
    metavar="CONVERSATION", help="Id of the conversation.", autocompletion=c.conversation_ids
)
_ANY_CONVERSATION = typer.Argument(
    metavar="CONVERSATION",
    help='Id of the conversation; "default" with --agent: the agent\'s own.',
    autocompletion=c.conversation_ids,
)

RunId: TypeAlias = Annotated[str, _RUN]
StepId: TypeAlias = Annotated[str, _STEP]
AgentId: TypeAlias = Annotated[str, _AGENT]
BlockId: TypeAlias = Annotated[str, _BLOCK]
FileId: TypeAlias = Annotated[str, _FILE]
AnyTool: TypeAlias = Annotated[str, _TOOL]
EndpointId: TypeAlias = Annotated[str, _ENDPOINT]
DeliveryId: TypeAlias = Annotated[str, _DELIVERY]
ConversationId: TypeAlias = Annotated[str, _CONVERSATION]
AnyConversation: TypeAlias = Annotated[str, _ANY_CONVERSATION]

RunOption: TypeAlias = Annotated[
    str | None, typer.Option("--run", help="Only those of this run.", autocompletion=c.run_ids)
]
AgentOption: TypeAlias = Annotated[
    str | None, typer.Option("--agent", help="Only those of this agent.", autocompletion=c.agent_ids)
]
AgentOfRuns: TypeAlias = Annotated[
    str | None, typer.Option("--agent", help="Only runs of this agent.", autocompletion=c.agent_ids)
]
ConversationOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--conversation", help="Only those of this conversation.", autocompletion=c.conversation_ids),
]
EndpointOption: TypeAlias = Annotated[
    str | None, typer.Option("--endpoint", help="Only those to this endpoint.", autocompletion=c.endpoint_ids)
]
ModelOption: TypeAlias = Annotated[
    str | None, typer.Option("--model", help="Only those of this model.", autocompletion=c.models)
]
