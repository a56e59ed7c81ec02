//! A tour of Sendoff over gRPC: send, follow, wait, cancel, approve.

mod connection;
mod retry;
mod watch;

/// What tonic and prost make of the protos; see build.rs.
#[allow(clippy::all)]
mod v1 {
    tonic::include_proto!("sendoff.v1");
}

use std::error::Error;
use std::process::ExitCode;

use prost_types::Duration;
use tonic::Status;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::StatusExt;
use uuid::Uuid;

use connection::Authorized;
use retry::retried;
use v1::action_service_client::ActionServiceClient;
use v1::agent_service_client::AgentServiceClient;
use v1::block_service_client::BlockServiceClient;
use v1::content::Form;
use v1::create_message_async_request::Payload;
use v1::message::Kind;
use v1::message_delta::Delta;
use v1::run_event::Event;
use v1::run_service_client::RunServiceClient;
use v1::tool_rule::Type as Rule;
use v1::tool_service_client::ToolServiceClient;
use v1::*;
use watch::{Entry, watch};

type Failure = Box<dyn Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match story().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", advice(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn story() -> Result<(), Failure> {
    let channel = connection::open()?;
    println!("health: {}", health(&channel).await?);
    // Answers may carry long histories: tonic's limit of 4 MiB is too low for them.
    let mut runs = RunServiceClient::new(channel.clone()).max_decoding_message_size(64 << 20);

    let agent = create_agent(&channel, Agent { name: "rust".into(), ..Default::default() }).await?;
    println!("agent: {}", agent.id);
    let run = send_twice(&mut runs, message(&agent, "Why do ships have bells?")).await?;
    println!("text: {}", follow(&mut runs, &run).await?);
    println!("ended: {}", status(&wait(&mut runs, &run).await?));

    let request = message(&agent, "And who rings them?");
    let run = retried(request, async |request| runs.create_message_async(request).await).await?.into_inner();
    let request =
        CancelRunRequest { run_id: run.id.clone(), reason: Some("no longer needed".into()), ..Default::default() };
    retried(request, async |request| runs.cancel_run(request).await).await?;
    println!("cancelled: {}", status(&wait(&mut runs, &run).await?));

    let keeper = create_keeper(&channel).await?;
    let request = message(&keeper, "I like ships.");
    let run = retried(request, async |request| runs.create_message_async(request).await).await?.into_inner();
    let run = approve(&channel, &wait(&mut runs, &run).await?).await?;
    println!("approved: {}", status(&wait(&mut runs, &run).await?));
    Ok(())
}

async fn health(channel: &Authorized) -> Result<&'static str, Failure> {
    let mut health = HealthClient::new(channel.clone());
    let answer = retried(HealthCheckRequest::default(), async |request| health.check(request).await).await?;
    Ok(ServingStatus::try_from(answer.get_ref().status)?.as_str_name())
}

async fn create_agent(channel: &Authorized, agent: Agent) -> Result<Agent, Status> {
    let mut agents = AgentServiceClient::new(channel.clone());
    let request = CreateAgentRequest { agent: Some(agent), request_id: Some(new_id()) };
    Ok(retried(request, async |request| agents.create_agent(request).await).await?.into_inner())
}

/// Makes the request, with an id that is the same however often it is sent.
fn message(agent: &Agent, text: &str) -> CreateMessageAsyncRequest {
    CreateMessageAsyncRequest {
        agent_id: agent.id.clone(),
        payload: Some(Payload::Input(Content { form: Some(Form::Text(text.into())) })),
        request_id: Some(new_id()),
        ..Default::default()
    }
}

/// Sends one request twice, as somebody does who did not hear the first answer: it stays one run.
async fn send_twice(
    runs: &mut RunServiceClient<Authorized>,
    request: CreateMessageAsyncRequest,
) -> Result<Run, Status> {
    let first = retried(request.clone(), async |request| runs.create_message_async(request).await).await?;
    println!("run: {}", first.get_ref().id);
    let again = retried(request, async |request| runs.create_message_async(request).await).await?;
    let replayed = again.metadata().get("idempotency-replayed").is_some_and(|value| value == "true");
    println!("again: {} {}", again.get_ref().id, if replayed { "replayed" } else { "made anew" });
    Ok(again.into_inner())
}

/// Prints the log of a run as it grows; what the agent has said.
async fn follow(runs: &mut RunServiceClient<Authorized>, run: &Run) -> Result<String, Status> {
    let mut text = String::new();
    watch(runs, &run.id, |entry| match entry {
        Entry::Event(event) => {
            println!("event {}: {}", event.sequence, name(&event));
            if let Some(Event::Message(Message { kind: Some(Kind::AssistantMessage(said)), .. })) = event.event
                && let Some(Content { form: Some(Form::Text(whole)) }) = said.content
            {
                text = whole;
            }
        }
        Entry::Delta(MessageDelta { delta: Some(Delta::Text(piece)), replaces, .. }) => {
            eprint!("{}{piece}", if replaces { "\n" } else { "" });
        }
        Entry::Delta(_) => {}
    })
    .await?;
    eprintln!();
    Ok(text)
}

/// The arm of the oneof as the proto spells it. What a newer server has added is None to prost.
fn name(event: &RunEvent) -> &'static str {
    match event.event {
        Some(Event::StateChanged(_)) => "state_changed",
        Some(Event::StepStarted(_)) => "step_started",
        Some(Event::StepFinished(_)) => "step_finished",
        Some(Event::Message(_)) => "message",
        Some(Event::MessageRetracted(_)) => "message_retracted",
        Some(Event::ActionRequired(_)) => "action_required",
        Some(Event::ActionResolved(_)) => "action_resolved",
        Some(Event::ToolCallStarted(_)) => "tool_call_started",
        Some(Event::ToolCallFinished(_)) => "tool_call_finished",
        Some(Event::TokenTurn(_)) => "token_turn",
        Some(Event::Finished(_)) => "finished",
        None => "unknown",
    }
}

/// Waits for the end of a run. The server answers after 20 s in any case, ended or not: then it is asked again.
async fn wait(runs: &mut RunServiceClient<Authorized>, run: &Run) -> Result<Run, Status> {
    loop {
        let timeout = Some(Duration { seconds: 20, nanos: 0 });
        let request = WaitRunRequest { run_id: run.id.clone(), timeout, ..Default::default() };
        let run = retried(request, async |request| runs.wait_run(request).await).await?.into_inner();
        if matches!(run.status(), RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled) {
            return Ok(run);
        }
    }
}

/// An agent that notes what it learns in a memory block, and asks before it does.
async fn create_keeper(channel: &Authorized) -> Result<Agent, Failure> {
    let mut blocks = BlockServiceClient::new(channel.clone());
    let block = Block { label: "human".into(), description: "Whom you talk to".into(), ..Default::default() };
    let request = CreateBlockRequest { block: Some(block), request_id: Some(new_id()) };
    let block = retried(request, async |request| blocks.create_block(request).await).await?.into_inner();

    let mut tools = ToolServiceClient::new(channel.clone());
    let request = ListToolsRequest { names: vec!["memory_insert".into()], ..Default::default() };
    let found = retried(request, async |request| tools.list_tools(request).await).await?.into_inner();
    let tool = found.tools.first().ok_or("the server has no tool memory_insert")?;

    // Models choose their tools themselves; the first rule makes even one call it that knows nothing of tools.
    let json = r#"{"label": "human", "new_string": "Likes ships."}"#.into();
    let rule = |rule| ToolRule { tool_name: tool.name.clone(), r#type: Some(rule), ..Default::default() };
    let rules = vec![
        rule(Rule::RunFirst(tool_rule::RunFirst { args: Some(JsonObject { json }) })),
        rule(Rule::RequiresApproval(tool_rule::RequiresApproval {})),
    ];
    let keeper = Agent {
        name: "rust-keeper".into(),
        block_ids: vec![block.id],
        tool_ids: vec![tool.id.clone()],
        tool_rules: rules,
        ..Default::default()
    };
    Ok(create_agent(channel, keeper).await?)
}

/// Says yes to all that a run has stopped for; the run that continues.
async fn approve(channel: &Authorized, stopped: &Run) -> Result<Run, Failure> {
    let mut decisions = Vec::new();
    for action in &stopped.pending_actions {
        let call = action.call.as_ref().ok_or("an action without a call")?;
        println!("asks for: {}", call.name);
        let approval =
            Approval { tool_call_id: action.tool_call_id.clone(), approve: Some(true), ..Default::default() };
        decisions.push(ActionDecision { decision: Some(action_decision::Decision::Approval(approval)) });
    }
    let request = RespondToActionsRequest {
        conversation_id: stopped.conversation_id.clone().unwrap_or("default".into()),
        agent_id: Some(stopped.agent_id.clone()),
        decisions,
        request_id: Some(new_id()),
    };
    let mut actions = ActionServiceClient::new(channel.clone());
    let answer = retried(request, async |request| actions.respond_to_actions(request).await).await?.into_inner();
    Ok(answer.run.ok_or("other calls still wait for an answer")?)
}

/// The status as the proto spells it. `run.status()` alone would take a number that it does not know for unspecified.
fn status(run: &Run) -> String {
    match RunStatus::try_from(run.status) {
        Ok(known) => known.as_str_name().trim_start_matches("RUN_STATUS_").into(),
        Err(_) => format!("unknown status {}", run.status),
    }
}

fn new_id() -> String {
    Uuid::new_v4().to_string()
}

/// What to tell whoever runs this: the server's own reason, which programs may rely on too, and what to do.
fn advice(error: &(dyn Error + 'static)) -> String {
    let Some(status) = error.downcast_ref::<Status>() else {
        return error.to_string();
    };
    let reason = status.get_details_error_info().map(|info| format!(" ({})", info.reason)).unwrap_or_default();
    let advice = match status.code() {
        tonic::Code::Unauthenticated => "; set SENDOFF_API_KEY",
        tonic::Code::Unavailable => "; is the server up, and SENDOFF_ADDRESS its address?",
        _ => "",
    };
    format!("{:?}{reason}: {}{advice}", status.code(), status.message())
}
