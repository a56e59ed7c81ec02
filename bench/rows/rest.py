"""The REST door, beside a bare server of the same HTTP stack, and beside the gRPC door of the same process."""

from __future__ import annotations

from bench.lab import HANGING, SCRIPT, Compared, Lab, accepted, agents, cpu_us, median, p50, p99, rate
from bench.machine import cores
from bench.processes import Child, child
from bench.table import Row

HTTP = ("--http-address", "127.0.0.1:0")
CALLERS = 16
MANY_CALLERS = 64
LEAST_SHARE = 0.5
STREAMS = 20


async def measure(lab: Lab) -> list[Row]:
    async with child("bench.bare_http", cores=cores().server) as bare:
        return [*await _calls(lab, bare), await _delay(lab, bare)]


async def _calls(lab: Lab, bare: Child) -> list[Row]:
    async with lab.server("--max-running", "1", *HTTP) as ours:
        agent_ids = await agents(ours.address, lab.choose(500, 16), SCRIPT, HANGING)
        rows = [await _accepts(lab, ours, bare, agent_ids, callers) for callers in (CALLERS, MANY_CALLERS)]
        run_ids = await accepted(ours.address, agent_ids, lab.choose(500, 16))
        read = {"run_ids": run_ids, "callers": CALLERS, "seconds": lab.seconds}
        reads = await lab.take_turns(
            lambda: lab.call(ours, "rest_reads", **{**read, "address": ours.http_address}),
            lambda: lab.call(bare, "rest_reads", **read),
        )
        read_over_grpc = await lab.call(ours, "reads", **read)
    return [*rows, _row(f"REST: runs read/s, {CALLERS} callers", reads, rate(read_over_grpc))]


async def _accepts(lab: Lab, ours: Child, bare: Child, agent_ids: list[str], callers: int) -> Row:
    asked = {"agent_ids": agent_ids, "callers": callers, "seconds": lab.seconds}
    compared = await lab.take_turns(
        lambda: lab.call(ours, "rest_accepts", **{**asked, "address": ours.http_address}),
        lambda: lab.call(bare, "rest_accepts", **asked),
    )
    over_grpc = rate(await lab.call(ours, "accepts", **asked))
    return _row(f"REST: durable accepts/s, {callers} callers", compared, over_grpc, least=LEAST_SHARE)


def _row(what: str, compared: Compared, over_grpc: float, least: float | None = None) -> Row:
    ratio = compared.ratio(rate)
    return Row(
        what=what,
        ours=f"{median(compared.ours, rate):,.0f}/s, {median(compared.ours, cpu_us):.0f} µs CPU each "
        f"(gRPC: {over_grpc:,.0f}/s)",
        ceiling=f"{median(compared.bare, rate):,.0f}/s, {median(compared.bare, cpu_us):.0f} µs CPU each",
        ratio=ratio,
        goal=f"≥ {least}" if least is not None else "",
        met=ratio >= least if least is not None else None,
    )


async def _delay(lab: Lab, bare: Child) -> Row:
    """From a model provider's write of a word to a reader's receipt of it as a server-sent event."""
    async with child("bench.fake_model", cores=cores().client) as fake:
        env = {"OPENAI_API_KEY": "bench", "OPENAI_BASE_URL": fake.address}
        async with lab.server(*HTTP, env=env) as ours:
            asked = {"agent_ids": await agents(ours.address, lab.choose(STREAMS, 2), "openai/clock"), "text": "Now?"}
            compared = await lab.take_turns(
                lambda: lab.call(ours, "rest_delays", **{**asked, "address": ours.http_address}),
                lambda: lab.call(bare, "rest_delays", **asked),
            )
    return Row(
        what=f"REST: delay of a token, model provider to reader of an event stream, p50, {STREAMS} streams",
        ours=f"{median(compared.ours, p50):.2f} ms (p99 {median(compared.ours, p99):.1f} ms)",
        ceiling=f"{median(compared.bare, p50):.2f} ms (p99 {median(compared.bare, p99):.1f} ms), server to reader",
        ratio=compared.ratio(p50),
        goal="",
        met=None,
    )
