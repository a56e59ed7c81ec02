"""Examples at the end of each command's help."""

from __future__ import annotations

from collections.abc import Mapping

import typer

EXAMPLES: Mapping[str, str] = {
    "send": """
        sendoff send agent-1 "Why do ships have bells?" --watch
        git log -1 | sendoff send agent-1 - --wait
        sendoff send agent-1 "What is this?" --image picture.png --label from=shell
        sendoff send agent-1 "Good morning." --start-time 8h --request-id greeting
    """,
    "get": """
        sendoff get run-1
        sendoff get run-1 --json | jq .usage
    """,
    "wait": """
        sendoff wait run-1 --timeout 60
        sendoff wait run-1 --until action_or_terminal
    """,
    "watch": """
        sendoff watch run-1
        sendoff watch run-1 --turn
        sendoff watch run-1 --from 7 --json
        sendoff watch run-1 --plain 2> talk.txt
    """,
    "cancel": """
        sendoff cancel run-1 --reason "asked the wrong thing" --rollback
    """,
    "messages": """
        sendoff messages run-1
    """,
    "top": """
        sendoff top
        sendoff top --once --json
    """,
    "health": """
        sendoff health || echo "no server"
    """,
    "queue": """
        sendoff queue --fairness-key batch
    """,
    "audit": """
        sendoff audit --method RunService/CancelRun
        sendoff audit --id run-1 --json
    """,
    "call": """
        sendoff call
        sendoff call CreateAgent --describe
        sendoff call Scheduling --describe
        sendoff call GetRun '{"run_id": "run-1"}'
        sendoff call AgentService/CreateAgent @agent.json
        sendoff call WatchRun '{"run_id": "run-1", "include_deltas": true}'
    """,
    "runs ls": """
        sendoff runs ls --active
        sendoff runs ls --agent agent-1 --status failed --limit 5
    """,
    "runs events": """
        sendoff runs events run-1 --from 3
    """,
    "runs explain": """
        sendoff runs explain run-1
    """,
    "runs steps": """
        sendoff runs steps run-1
    """,
    "runs rm": """
        sendoff runs rm run-1
    """,
    "steps ls": """
        sendoff steps ls --agent agent-1 --feedback negative
    """,
    "steps feedback": """
        sendoff steps feedback step-1 negative --tag "too long"
    """,
    "actions ls": """
        sendoff actions ls --agent agent-1
    """,
    "actions approve": """
        sendoff actions approve run-1 --watch
        sendoff actions approve run-1 --call call-1 --arguments '{"city": "Ulm"}'
    """,
    "actions deny": """
        sendoff actions deny run-1 --reason "not today" --watch
    """,
    "actions return": """
        sendoff actions return run-1 "21 degrees" --call call-1
        echo "no such city" | sendoff actions return run-1 - --failed
    """,
    "agents create": """
        sendoff agents create --name helper --model scripted/echo
        sendoff agents create --system "You are terse." --tag shop --block block-1
    """,
    "agents ls": """
        sendoff agents ls --tag shop
    """,
    "agents update": """
        sendoff agents update agent-1 --system "You are friendly."
    """,
    "agents rm": """
        sendoff agents rm agent-1 --cancel-runs
    """,
    "conversations create": """
        sendoff conversations create agent-1 --summary "Order 17"
    """,
    "conversations ls": """
        sendoff conversations ls --agent agent-1 --not-archived
    """,
    "conversations messages": """
        sendoff conversations messages default --agent agent-1 --limit 10
    """,
    "conversations update": """
        sendoff conversations update conv-1 --archive
    """,
    "conversations fork": """
        sendoff conversations fork default --agent agent-1 --summary "What if"
    """,
    "conversations compact": """
        sendoff conversations compact default --agent agent-1
    """,
    "blocks put": """
        sendoff blocks put --label human --value "Likes ships."
        sendoff blocks put block-1 --file notes.txt
    """,
    "blocks get": """
        sendoff blocks get block-1 --value
    """,
    "files put": """
        sendoff files put picture.png
    """,
    "files get": """
        sendoff files get file-1 --output copy.png
    """,
    "tools put": """
        sendoff tools put tool.py --requires-approval
    """,
    "tools ls": """
        sendoff tools ls --type mcp --type python
    """,
    "callbacks create": """
        sendoff callbacks create --url https://shop.example/hooks/sendoff --event run.finished
        sendoff callbacks create --pull
    """,
    "callbacks listen": """
        sendoff callbacks listen --agent agent-1
    """,
    "callbacks receive": """
        sendoff callbacks receive endpoint-1 --count 1
    """,
    "callbacks redeliver": """
        sendoff callbacks redeliver delivery-1
        sendoff callbacks redeliver --endpoint endpoint-1 --since 2h
    """,
    "callbacks rotate": """
        sendoff callbacks rotate endpoint-1 --overlap 7d
    """,
    "dispatch pause": """
        sendoff dispatch pause --agent agent-1 --reason "it talks too much"
    """,
}
"""By the words of the command; lines of a shell."""


def show_examples(app: typer.Typer, examples: Mapping[str, str]) -> None:
    """Put examples behind the help of the commands that have some."""
    for command, text in examples.items():
        *groups, name = command.split(" ")
        owner = app
        for group in groups:
            known = {each.name: each.typer_instance for each in owner.registered_groups}
            owner = known[group] or owner
        for found in owner.registered_commands:
            if found.name == name:
                found.epilog = "\n".join(("\b\nExamples:", *lines(text)))  # \b: as it stands, not filled up


def lines(text: str) -> list[str]:
    """The lines of some examples."""
    return [line.strip() for line in text.strip().splitlines()]
