// The story of a run, told with generated stubs: an agent is made and sent a message, the run is followed through cut
// connections, another one is cancelled, and an approval is answered.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "sendoff.example/story/gen/sendoff/v1"
)

const (
	deadline = 60 * time.Second // of one call with its repeats; long enough for a server to be replaced
	oneWait  = 20 * time.Second // how long the server lets one WaitRun wait
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, explained(err))
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	conn, err := connect() // one for the whole program: it is safe for any number of goroutines
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := health(ctx, conn); err != nil {
		return err
	}
	s := &story{
		agents:  pb.NewAgentServiceClient(conn),
		blocks:  pb.NewBlockServiceClient(conn),
		tools:   pb.NewToolServiceClient(conn),
		runs:    pb.NewRunServiceClient(conn),
		actions: pb.NewActionServiceClient(conn),
	}
	agent, err := s.createAgent(ctx, &pb.Agent{Name: "helper", System: "You answer in one sentence."})
	if err != nil {
		return err
	}
	fmt.Println("agent:", agent.GetId())
	if err := s.sendAndWatch(ctx, agent.GetId()); err != nil {
		return err
	}
	if err := s.cancel(ctx, agent.GetId()); err != nil {
		return err
	}
	return s.approve(ctx)
}

func health(ctx context.Context, conn *grpc.ClientConn) error {
	answer, err := call(ctx, healthpb.NewHealthClient(conn).Check, &healthpb.HealthCheckRequest{})
	if err != nil {
		return err
	}
	fmt.Println("health:", answer.GetStatus())
	return nil
}

type story struct {
	agents  pb.AgentServiceClient
	blocks  pb.BlockServiceClient
	tools   pb.ToolServiceClient
	runs    pb.RunServiceClient
	actions pb.ActionServiceClient
}

// call makes one call with a deadline, as every call should have one.
func call[Req, Resp any](
	ctx context.Context, method func(context.Context, Req, ...grpc.CallOption) (Resp, error), request Req,
	opts ...grpc.CallOption,
) (Resp, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return method(ctx, request, opts...)
}

// createAgent gives the request an id, which makes it safe that gRPC repeats the call: the same request is the same
// agent.
func (s *story) createAgent(ctx context.Context, agent *pb.Agent) (*pb.Agent, error) {
	return call(ctx, s.agents.CreateAgent, &pb.CreateAgentRequest{Agent: agent, RequestId: new(rand.Text())})
}

// message is a request that may be sent any number of times, and is one run.
func message(agentID, text string) *pb.CreateMessageAsyncRequest {
	return &pb.CreateMessageAsyncRequest{
		AgentId:   agentID,
		Payload:   &pb.CreateMessageAsyncRequest_Input{Input: &pb.Content{Form: &pb.Content_Text{Text: text}}},
		RequestId: new(rand.Text()),
	}
}

func (s *story) sendAndWatch(ctx context.Context, agentID string) error {
	request := message(agentID, "Why do ships have bells?")
	run, err := call(ctx, s.runs.CreateMessageAsync, request)
	if err != nil {
		return err
	}
	fmt.Println("run:", run.GetId())
	var header metadata.MD
	again, err := call(ctx, s.runs.CreateMessageAsync, request, grpc.Header(&header))
	if err != nil {
		return err
	}
	replayed := "not replayed"
	if slices.Contains(header.Get("idempotency-replayed"), "true") {
		replayed = "replayed"
	}
	fmt.Println("again:", again.GetId(), replayed)
	text := ""
	err = watch(ctx, s.runs, run.GetId(), func(event *pb.RunEvent) {
		fmt.Printf("event %d: %s\n", event.GetSequence(), kind(event))
		if answer := event.GetMessage().GetAssistantMessage(); answer != nil {
			text = answer.GetContent().GetText()
		}
	})
	if err != nil {
		return err
	}
	fmt.Println("text:", text)
	return s.tellEnd(ctx, "ended:", run.GetId())
}

// tellEnd waits for the run's end and tells how it ended.
func (s *story) tellEnd(ctx context.Context, label, runID string) error {
	run, err := s.wait(ctx, runID)
	if err == nil {
		fmt.Println(label, run.GetStatus())
	}
	return err
}

// wait returns the run when it has ended. One WaitRun waits for a while only, and returns the run as it is then.
func (s *story) wait(ctx context.Context, runID string) (*pb.Run, error) {
	request := &pb.WaitRunRequest{RunId: runID, Timeout: durationpb.New(oneWait)}
	for {
		run, err := call(ctx, s.runs.WaitRun, request)
		if err != nil || isTerminal(run.GetStatus()) {
			return run, err
		}
	}
}

func isTerminal(s pb.RunStatus) bool {
	return s == pb.RunStatus_RUN_STATUS_COMPLETED || s == pb.RunStatus_RUN_STATUS_FAILED ||
		s == pb.RunStatus_RUN_STATUS_CANCELLED
}

func (s *story) cancel(ctx context.Context, agentID string) error {
	run, err := call(ctx, s.runs.CreateMessageAsync, message(agentID, "And why do they have a name?"))
	if err != nil {
		return err
	}
	why := &pb.CancelRunRequest{RunId: run.GetId(), Reason: new("no longer needed")}
	if _, err := call(ctx, s.runs.CancelRun, why); err != nil {
		return err
	}
	return s.tellEnd(ctx, "cancelled:", run.GetId())
}

func (s *story) approve(ctx context.Context) error {
	agent, err := s.createKeeper(ctx)
	if err != nil {
		return err
	}
	run, err := call(ctx, s.runs.CreateMessageAsync, message(agent.GetId(), "I like ships."))
	if err != nil {
		return err
	}
	if run, err = s.wait(ctx, run.GetId()); err != nil {
		return err
	}
	answers := &pb.RespondToActionsRequest{AgentId: new(agent.GetId()), ConversationId: "default"}
	for _, action := range run.GetPendingActions() { // the run has ended, and its turn waits for these
		fmt.Println("asks for:", action.GetCall().GetName())
		yes := &pb.Approval{ToolCallId: action.GetToolCallId(), Approve: new(true)}
		answers.Decisions = append(answers.Decisions, &pb.ActionDecision{
			Decision: &pb.ActionDecision_Approval{Approval: yes},
		})
	}
	if len(answers.Decisions) == 0 {
		return errors.New("the run has ended without asking for anything")
	}
	response, err := call(ctx, s.actions.RespondToActions, answers)
	if err != nil {
		return err
	}
	return s.tellEnd(ctx, "approved:", response.GetRun().GetId()) // another run, which goes on from there
}

// createKeeper makes an agent that writes into its memory before it answers, if it may. Its first rule makes any model
// do so.
func (s *story) createKeeper(ctx context.Context) (*pb.Agent, error) {
	block, err := call(ctx, s.blocks.CreateBlock, &pb.CreateBlockRequest{
		Block:     &pb.Block{Label: "human", Description: "Whom you talk to"},
		RequestId: new(rand.Text()),
	})
	if err != nil {
		return nil, err
	}
	found, err := call(ctx, s.tools.ListTools, &pb.ListToolsRequest{Names: []string{"memory_insert"}})
	if err != nil {
		return nil, err
	}
	if len(found.GetTools()) != 1 {
		return nil, errors.New("this server has no memory_insert")
	}
	tool := found.GetTools()[0]
	args := &pb.JsonObject{Json: `{"label": "human", "new_string": "Likes ships."}`}
	return s.createAgent(ctx, &pb.Agent{
		Name:     "keeper",
		BlockIds: []string{block.GetId()},
		ToolIds:  []string{tool.GetId()},
		ToolRules: []*pb.ToolRule{
			{ToolName: tool.GetName(), Type: &pb.ToolRule_RunFirst_{RunFirst: &pb.ToolRule_RunFirst{Args: args}}},
			{ToolName: tool.GetName(), Type: &pb.ToolRule_RequiresApproval_{RequiresApproval: &pb.ToolRule_RequiresApproval{}}},
		},
	})
}

// explained is the error with what our server says about it: a reason to decide by, and what it is about.
func explained(err error) string {
	told, ok := status.FromError(err)
	if !ok {
		return err.Error()
	}
	reason := ""
	if info := infoOf(told); info != nil {
		reason = fmt.Sprintf(" %s %v", info.GetReason(), info.GetMetadata())
	}
	return fmt.Sprintf("%s%s: %s\nIs a server there (make run), and are SENDOFF_ADDRESS, _API_KEY and _CA_FILE right?",
		told.Code(), reason, told.Message())
}

func infoOf(told *status.Status) *errdetails.ErrorInfo {
	for _, detail := range told.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "sendoff" {
			return info
		}
	}
	return nil
}
