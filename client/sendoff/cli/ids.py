"""What commands are about: the arguments and options that name things of the server."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

RunId: TypeAlias = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]
StepId: TypeAlias = Annotated[str, typer.Argument(metavar="STEP", help="Id of the step.")]
AgentId: TypeAlias = Annotated[str, typer.Argument(metavar="AGENT", help="Id of the agent.")]
BlockId: TypeAlias = Annotated[str, typer.Argument(metavar="BLOCK", help="Id of the memory block.")]
FileId: TypeAlias = Annotated[str, typer.Argument(metavar="FILE", help="Id of the file.")]
AnyTool: TypeAlias = Annotated[str, typer.Argument(metavar="TOOL", help="Id of the tool, or its name.")]
EndpointId: TypeAlias = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Id of the endpoint.")]
ConversationId: TypeAlias = Annotated[str, typer.Argument(metavar="CONVERSATION", help="Id of the conversation.")]
AnyConversation: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="CONVERSATION", help='Id of the conversation; "default" with --agent: the agent\'s own.'),
]

RunOption: TypeAlias = Annotated[str | None, typer.Option("--run", help="Only those of this run.")]
AgentOption: TypeAlias = Annotated[str | None, typer.Option("--agent", help="Only those of this agent.")]
AgentOfRuns: TypeAlias = Annotated[str | None, typer.Option("--agent", help="Only runs of this agent.")]
ConversationOption: TypeAlias = Annotated[
    str | None, typer.Option("--conversation", help="Only those of this conversation.")
]
EndpointOption: TypeAlias = Annotated[str | None, typer.Option("--endpoint", help="Only those to this endpoint.")]
ModelOption: TypeAlias = Annotated[str | None, typer.Option("--model", help="Only those of this model.")]
