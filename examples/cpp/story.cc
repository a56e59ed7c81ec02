// Makes an agent, sends it a message, follows the run through cut connections, cancels one, answers an approval.
#include <ctime>
#include <iomanip>
#include <iostream>
#include <random>
#include <sstream>

#include "connection.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "sendoff/v1/action_service.grpc.pb.h"
#include "sendoff/v1/agent_service.grpc.pb.h"
#include "sendoff/v1/block_service.grpc.pb.h"
#include "sendoff/v1/run_service.grpc.pb.h"
#include "sendoff/v1/tool_service.grpc.pb.h"
#include "watch.h"

namespace health = grpc::health::v1;
namespace v1 = sendoff::v1;

namespace {

// For request_id: chosen once for a request and kept when it is repeated.
std::string NewId() {
  static std::random_device random;
  std::ostringstream id;
  id << std::hex << std::setfill('0');
  for (int i = 0; i < 4; ++i) id << std::setw(8) << random();
  return id.str();
}

// A request that may be sent any number of times, by gRPC's own repeats too, and is one run.
v1::CreateMessageAsyncRequest Message(const v1::Agent& agent, const std::string& text) {
  v1::CreateMessageAsyncRequest request;
  request.set_agent_id(agent.id());
  request.mutable_input()->set_text(text);
  request.set_request_id(NewId());
  return request;
}

// The event's case as the contract spells it; newer servers may send cases that these stubs lack.
std::string Kind(const v1::RunEvent& event) {
  const auto* cases = v1::RunEvent::descriptor()->FindOneofByName("event");
  const auto* field = event.GetReflection()->GetOneofFieldDescriptor(event, cases);
  return field ? field->name() : "unknown";
}

class Story {
 public:
  explicit Story(const std::shared_ptr<grpc::Channel>& channel)
      : health_(channel), agents_(channel), blocks_(channel), tools_(channel), runs_(channel), actions_(channel) {}

  void Tell() {
    auto answer = Call(health_, &health::Health::Stub::Check, health::HealthCheckRequest());
    Say("health") << health::HealthCheckResponse::ServingStatus_Name(answer.status()) << std::endl;
    v1::Agent helper;
    helper.set_name("helper");
    helper.set_system("You answer in one sentence.");
    v1::Agent agent = MakeAgent(helper);
    Say("agent") << agent.id() << std::endl;
    SendAndWatch(agent);
    Cancel(agent);
    Approve(MakeKeeper());
  }

 private:
  static std::ostream& Say(const std::string& head) { return std::cout << head << ": "; }

  void SendAndWatch(const v1::Agent& agent) {
    v1::CreateMessageAsyncRequest request = Message(agent, "Why do ships have bells?");
    v1::Run run = Call(runs_, &v1::RunService::Stub::CreateMessageAsync, request);
    Say("run") << run.id() << std::endl;
    SendAgain(request);
    std::string text;
    Watch(runs_, run.id(), [&text](const v1::RunEvent& event) {
      Say("event " + std::to_string(event.sequence())) << Kind(event) << std::endl;
      if (event.message().has_assistant_message()) text = event.message().assistant_message().content().text();
    });
    Say("text") << text << std::endl;
    Say("ended") << StatusOf(Wait(run)) << std::endl;
  }

  // The same request is the same run, and the headers of the answer say that it was there.
  void SendAgain(const v1::CreateMessageAsyncRequest& request) {
    grpc::ClientContext context;
    Prepare(context);
    v1::Run run;
    grpc::Status status = runs_.CreateMessageAsync(&context, request, &run);
    if (!status.ok()) throw CallFailed(status);
    const auto& headers = context.GetServerInitialMetadata();
    auto replayed = headers.find("idempotency-replayed");
    bool is_replayed = replayed != headers.end() && replayed->second == "true";
    Say("again") << run.id() << (is_replayed ? " replayed" : " not replayed") << std::endl;
  }

  // Cancels a run. One that has begun stops as well, and keeps what it has finished.
  void Cancel(const v1::Agent& agent) {
    v1::CreateMessageAsyncRequest request = Message(agent, "And why whistles?");
    request.mutable_scheduling()->mutable_start_time()->set_seconds(std::time(nullptr) + 60);
    v1::CancelRunRequest cancel;
    cancel.set_run_id(Call(runs_, &v1::RunService::Stub::CreateMessageAsync, request).id());
    cancel.set_reason("no longer needed");
    Say("cancelled") << StatusOf(Wait(Call(runs_, &v1::RunService::Stub::CancelRun, cancel))) << std::endl;
  }

  void Approve(const v1::Agent& keeper) {
    v1::Run run = Wait(Call(runs_, &v1::RunService::Stub::CreateMessageAsync, Message(keeper, "I like ships.")));
    // It has ended; its turn waits for these answers, and another run goes on from there.
    v1::RespondToActionsRequest answers;
    answers.set_agent_id(keeper.id());
    answers.set_conversation_id("default");
    answers.set_request_id(NewId());
    for (const auto& action : run.pending_actions()) {
      Say("asks for") << action.call().name() << std::endl;
      auto* yes = answers.add_decisions()->mutable_approval();
      yes->set_tool_call_id(action.tool_call_id());
      yes->set_approve(true);
    }
    auto response = Call(actions_, &v1::ActionService::Stub::RespondToActions, answers);
    Say("approved") << StatusOf(Wait(response.run())) << std::endl;
  }

  // Waits until the run has ended. One call waits for a while only, and returns the run as it is then.
  v1::Run Wait(v1::Run run) {
    v1::WaitRunRequest request;
    request.set_run_id(run.id());
    request.mutable_timeout()->set_seconds(20);
    while (run.status() != v1::RUN_STATUS_COMPLETED && run.status() != v1::RUN_STATUS_FAILED &&
           run.status() != v1::RUN_STATUS_CANCELLED) {
      run = Call(runs_, &v1::RunService::Stub::WaitRun, request);
    }
    return run;
  }

  static const std::string& StatusOf(const v1::Run& run) { return v1::RunStatus_Name(run.status()); }

  v1::Agent MakeAgent(const v1::Agent& agent) {
    v1::CreateAgentRequest request;
    *request.mutable_agent() = agent;
    request.set_request_id(NewId());
    return Call(agents_, &v1::AgentService::Stub::CreateAgent, request);
  }

  // An agent that writes into its memory before it answers, if it may. The first rule makes any model do so.
  v1::Agent MakeKeeper() {
    v1::CreateBlockRequest block;
    block.mutable_block()->set_label("human");
    block.mutable_block()->set_description("Whom you talk to");
    block.set_request_id(NewId());
    v1::ListToolsRequest wanted;
    wanted.add_names("memory_insert");
    v1::Tool tool = Call(tools_, &v1::ToolService::Stub::ListTools, wanted).tools(0);
    v1::Agent keeper;
    keeper.set_name("keeper");
    keeper.add_block_ids(Call(blocks_, &v1::BlockService::Stub::CreateBlock, block).id());
    keeper.add_tool_ids(tool.id());
    v1::ToolRule* first = keeper.add_tool_rules();
    first->set_tool_name(tool.name());
    first->mutable_run_first()->mutable_args()->set_json(R"({"label": "human", "new_string": "Likes ships."})");
    v1::ToolRule* asks = keeper.add_tool_rules();
    asks->set_tool_name(tool.name());
    asks->mutable_requires_approval();
    return MakeAgent(keeper);
  }

  health::Health::Stub health_;
  v1::AgentService::Stub agents_;
  v1::BlockService::Stub blocks_;
  v1::ToolService::Stub tools_;
  v1::RunService::Stub runs_;
  v1::ActionService::Stub actions_;
};

}  // namespace

int main() {
  try {
    Story(Connect()).Tell();
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n"
              << "Is a server there (make run), and are SENDOFF_ADDRESS, _API_KEY and _CA_FILE right?" << std::endl;
    return 1;
  }
  return 0;
}
