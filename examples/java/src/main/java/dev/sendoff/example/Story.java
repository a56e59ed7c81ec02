package dev.sendoff.example;

import static dev.sendoff.example.Connection.call;
import static java.util.concurrent.TimeUnit.SECONDS;

import com.google.protobuf.Duration;
import com.google.protobuf.Timestamp;
import dev.sendoff.v1.ActionDecision;
import dev.sendoff.v1.ActionServiceGrpc;
import dev.sendoff.v1.ActionServiceGrpc.ActionServiceBlockingV2Stub;
import dev.sendoff.v1.Agent;
import dev.sendoff.v1.AgentServiceGrpc;
import dev.sendoff.v1.AgentServiceGrpc.AgentServiceBlockingV2Stub;
import dev.sendoff.v1.Approval;
import dev.sendoff.v1.Block;
import dev.sendoff.v1.BlockServiceGrpc;
import dev.sendoff.v1.BlockServiceGrpc.BlockServiceBlockingV2Stub;
import dev.sendoff.v1.CancelRunRequest;
import dev.sendoff.v1.Content;
import dev.sendoff.v1.CreateAgentRequest;
import dev.sendoff.v1.CreateBlockRequest;
import dev.sendoff.v1.CreateMessageAsyncRequest;
import dev.sendoff.v1.JsonObject;
import dev.sendoff.v1.ListToolsRequest;
import dev.sendoff.v1.RespondToActionsRequest;
import dev.sendoff.v1.Run;
import dev.sendoff.v1.RunEvent;
import dev.sendoff.v1.RunServiceGrpc;
import dev.sendoff.v1.RunServiceGrpc.RunServiceBlockingV2Stub;
import dev.sendoff.v1.RunStatus;
import dev.sendoff.v1.Scheduling;
import dev.sendoff.v1.ToolRule;
import dev.sendoff.v1.ToolServiceGrpc;
import dev.sendoff.v1.ToolServiceGrpc.ToolServiceBlockingV2Stub;
import dev.sendoff.v1.WaitRunRequest;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.time.Instant;
import java.util.EnumSet;
import java.util.Locale;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicReference;

/** Makes an agent, sends it a message, follows the run through cut connections, cancels one, answers an approval. */
public final class Story {
  private static final Metadata.Key<String> REPLAYED =
      Metadata.Key.of("idempotency-replayed", Metadata.ASCII_STRING_MARSHALLER);
  private static final Set<RunStatus> TERMINAL =
      EnumSet.of(RunStatus.RUN_STATUS_COMPLETED, RunStatus.RUN_STATUS_FAILED, RunStatus.RUN_STATUS_CANCELLED);

  private final ManagedChannel channel;
  private final AgentServiceBlockingV2Stub agents;
  private final BlockServiceBlockingV2Stub blocks;
  private final ToolServiceBlockingV2Stub tools;
  private final RunServiceBlockingV2Stub runs;
  private final ActionServiceBlockingV2Stub actions;

  private Story(ManagedChannel channel) {
    this.channel = channel;
    agents = AgentServiceGrpc.newBlockingV2Stub(channel);
    blocks = BlockServiceGrpc.newBlockingV2Stub(channel);
    tools = ToolServiceGrpc.newBlockingV2Stub(channel);
    runs = RunServiceGrpc.newBlockingV2Stub(channel);
    actions = ActionServiceGrpc.newBlockingV2Stub(channel);
  }

  public static void main(String[] arguments) throws IOException, InterruptedException {
    ManagedChannel channel = Connection.open(System.getenv());
    try {
      new Story(channel).tell();
    } catch (StatusException error) {
      System.err.println(Errors.describe(error));
      System.err.println("Is a server there (make run), and are SENDOFF_ADDRESS, _API_KEY and _CA_FILE right?");
      System.exit(1);
    } finally {
      channel.shutdownNow().awaitTermination(5, SECONDS);
    }
  }

  private void tell() throws StatusException, InterruptedException {
    var health = call(HealthGrpc.newBlockingV2Stub(channel)).check(HealthCheckRequest.getDefaultInstance());
    System.out.println("health: " + health.getStatus());
    Agent agent = makeAgent(Agent.newBuilder().setName("helper").setSystem("You answer in one sentence."));
    System.out.println("agent: " + agent.getId());
    sendAndWatch(agent);
    cancel(agent);
    approve(makeKeeper());
  }

  private void sendAndWatch(Agent agent) throws StatusException, InterruptedException {
    CreateMessageAsyncRequest request = message(agent, "Why do ships have bells?").build();
    Run run = call(runs).createMessageAsync(request);
    System.out.println("run: " + run.getId());
    var headers = new AtomicReference<Metadata>();
    var listening = MetadataUtils.newCaptureMetadataInterceptor(headers, new AtomicReference<>());
    Run again = call(runs).withInterceptors(listening).createMessageAsync(request);
    boolean replayed = "true".equals(headers.get().get(REPLAYED));
    System.out.println("again: " + again.getId() + (replayed ? " replayed" : " not replayed"));
    var text = new StringBuilder();
    Watch.follow(channel, run.getId(), event -> {
      System.out.println("event " + event.getSequence() + ": " + kind(event));
      if (event.getMessage().hasAssistantMessage()) {
        text.setLength(0);
        text.append(event.getMessage().getAssistantMessage().getContent().getText());
      }
    });
    System.out.println("text: " + text);
    System.out.println("ended: " + await(run).getStatus());
  }

  /** Cancels a run. One that has begun stops as well, and keeps what it has finished. */
  private void cancel(Agent agent) throws StatusException {
    var inAMinute = Timestamp.newBuilder().setSeconds(Instant.now().getEpochSecond() + 60);
    var later = Scheduling.newBuilder().setStartTime(inAMinute);
    Run run = call(runs).createMessageAsync(message(agent, "And why whistles?").setScheduling(later).build());
    call(runs).cancelRun(CancelRunRequest.newBuilder().setRunId(run.getId()).setReason("no longer needed").build());
    System.out.println("cancelled: " + await(run).getStatus());
  }

  private void approve(Agent keeper) throws StatusException {
    Run run = await(call(runs).createMessageAsync(message(keeper, "I like ships.").build()));
    // It has ended; its turn waits for these answers, and another run goes on from there.
    var answers = RespondToActionsRequest.newBuilder().setAgentId(keeper.getId()).setConversationId("default");
    for (var action : run.getPendingActionsList()) {
      System.out.println("asks for: " + action.getCall().getName());
      var yes = Approval.newBuilder().setToolCallId(action.getToolCallId()).setApprove(true);
      answers.addDecisions(ActionDecision.newBuilder().setApproval(yes));
    }
    Run continuing = call(actions).respondToActions(answers.setRequestId(newId()).build()).getRun();
    System.out.println("approved: " + await(continuing).getStatus());
  }

  /** Waits until the run has ended. One call waits for a while only, and returns the run as it is then. */
  private Run await(Run run) throws StatusException {
    var aWhile = Duration.newBuilder().setSeconds(20);
    var request = WaitRunRequest.newBuilder().setRunId(run.getId()).setTimeout(aWhile).build();
    Run now = call(runs).waitRun(request);
    while (!TERMINAL.contains(now.getStatus())) {
      now = call(runs).waitRun(request);
    }
    return now;
  }

  private Agent makeAgent(Agent.Builder agent) throws StatusException {
    return call(agents).createAgent(CreateAgentRequest.newBuilder().setAgent(agent).setRequestId(newId()).build());
  }

  /** An agent that writes into its memory before it answers, if it may. The first rule makes any model do so. */
  private Agent makeKeeper() throws StatusException {
    var block = Block.newBuilder().setLabel("human").setDescription("Whom you talk to");
    var kept = call(blocks).createBlock(CreateBlockRequest.newBuilder().setBlock(block).setRequestId(newId()).build());
    var tool = call(tools).listTools(ListToolsRequest.newBuilder().addNames("memory_insert").build()).getTools(0);
    var arguments = JsonObject.newBuilder().setJson("{\"label\": \"human\", \"new_string\": \"Likes ships.\"}");
    var first = ToolRule.newBuilder().setRunFirst(ToolRule.RunFirst.newBuilder().setArgs(arguments));
    var asks = ToolRule.newBuilder().setRequiresApproval(ToolRule.RequiresApproval.getDefaultInstance());
    return makeAgent(Agent.newBuilder().setName("keeper").addBlockIds(kept.getId()).addToolIds(tool.getId())
        .addToolRules(first.setToolName(tool.getName())).addToolRules(asks.setToolName(tool.getName())));
  }

  /** A request that may be sent any number of times, by gRPC's own repeats too, and is one run. */
  private static CreateMessageAsyncRequest.Builder message(Agent agent, String text) {
    return CreateMessageAsyncRequest.newBuilder()
        .setAgentId(agent.getId()).setInput(Content.newBuilder().setText(text)).setRequestId(newId());
  }

  private static String newId() {
    return UUID.randomUUID().toString();
  }

  /** The name of the event's case, as the contract spells it; newer servers may send cases that these stubs lack. */
  private static String kind(RunEvent event) {
    return event.getEventCase() == RunEvent.EventCase.EVENT_NOT_SET
        ? "unknown"
        : event.getEventCase().name().toLowerCase(Locale.ROOT);
  }
}
