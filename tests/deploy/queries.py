"""What a query asks of Prometheus, as Prometheus' own grammar reads it."""

from __future__ import annotations

from collections.abc import Iterator

import promql_parser as promql

from sendoff_server.sight.catalogue import families, registry

_ADDED_BY_PROMETHEUS = {"job", "instance"}


def lines() -> dict[str, set[str]]:
    """The names that queries may use, each with the labels that its lines have."""
    known: dict[str, set[str]] = {"up": _ADDED_BY_PROMETHEUS}
    made = registry()._names_to_collectors  # the library has no other way to tell labels of what has no lines yet
    for family in families():
        labels = {*getattr(made[family.name], "_labelnames", ()), *_ADDED_BY_PROMETHEUS}
        match family.type:
            case "histogram":
                known |= {f"{family.name}_bucket": {*labels, "le"}}
                known |= {f"{family.name}_{part}": labels for part in ("sum", "count")}
            case "counter":
                known[f"{family.name}_total"] = labels
            case _:
                known[family.name] = labels
    return known


def selectors(expression: str) -> Iterator[promql.VectorSelector]:
    """All that it reads. Raises ValueError for what is no query."""
    found: list[promql.VectorSelector] = []

    def look(node: promql.Expr) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)

    promql.walk(promql.parse(expression.replace("$__rate_interval", "5m")), look)
    yield from found


def grouped_by(expression: str) -> set[str]:
    """Labels that its aggregations keep."""
    kept: set[str] = set()

    def look(node: promql.Expr) -> None:
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            kept.update(node.modifier.labels)

    promql.walk(promql.parse(expression.replace("$__rate_interval", "5m")), look)
    return kept


def fault_of(expression: str, known: dict[str, set[str]]) -> str:
    """What it names that there is not; empty for nothing."""
    offered: set[str] = set()
    for selector in selectors(expression):
        if selector.name not in known:
            return f"there is no {selector.name}"
        labels = known[selector.name]
        if strange := {matcher.name for matcher in selector.matchers.matchers} - labels:
            return f"{selector.name} has no {strange}"
        offered |= labels
    strange = grouped_by(expression) - offered
    return f"nothing has {strange}" if strange else ""
