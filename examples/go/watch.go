package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "sendoff.example/story/gen/sendoff/v1"
)

// patience is how long a watch may bring nothing before it is given up.
const patience = 60 * time.Second

// watch hands on the run's log to its end: every event once and in order, over as many streams as it takes.
func watch(ctx context.Context, runs pb.RunServiceClient, runID string, handle func(*pb.RunEvent)) error {
	log := &position{handle: handle, progress: time.Now()}
	for {
		err := log.follow(ctx, runs, runID)
		if log.finished || ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && (!isCut(err) || time.Since(log.progress) > patience) {
			return err
		}
		fmt.Fprintf(os.Stderr, "\nwatch cut (%s), going on after event %d\n", status.Code(err), log.after)
		if err := log.pause(ctx); err != nil {
			return err
		}
	}
}

// position is where the watch of a run stands.
type position struct {
	handle   func(*pb.RunEvent)
	after    int64 // sequence of the last event
	finished bool
	failures int // in a row, since anything came
	progress time.Time
}

// follow reads one stream to its end; nil for a clean one.
func (p *position) follow(ctx context.Context, runs pb.RunServiceClient, runID string) error {
	ctx, cancel := context.WithCancel(ctx) // without it a stream that is not read to its end is never given back
	defer cancel()
	request := &pb.WatchRunRequest{
		RunId:         runID,
		Position:      &pb.WatchRunRequest_AfterSequence{AfterSequence: p.after},
		IncludeDeltas: true,
	}
	// No deadline: a run may take hours. The keep-alive of the connection finds out when nobody is there. And no waiting
	// for a connection, so that it is this loop that decides when to give up.
	stream, err := runs.WatchRun(ctx, request, grpc.WaitForReady(false))
	if err != nil {
		return err
	}
	for !p.finished {
		frame, err := stream.Recv()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		p.take(frame)
	}
	return nil
}

// take handles one frame. Heartbeats, the reason of a clean end, and what newer servers send change nothing.
func (p *position) take(frame *pb.WatchRunResponse) {
	p.failures, p.progress = 0, time.Now()
	switch frame := frame.GetFrame().(type) {
	case *pb.WatchRunResponse_Event:
		if frame.Event.GetSequence() > p.after {
			p.after = frame.Event.GetSequence()
			p.finished = frame.Event.GetFinished() != nil
			p.handle(frame.Event)
		}
	case *pb.WatchRunResponse_Delta: // text that is being written; its message event has it whole
		fmt.Fprint(os.Stderr, frame.Delta.GetText())
	}
}

func (p *position) pause(ctx context.Context) error {
	longest := min(2*time.Second, 200*time.Millisecond<<min(p.failures, 10))
	p.failures++
	select {
	case <-time.After(longest/2 + rand.N(longest/2)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isCut tells whether the stream was cut, as opposed to refused: networks and killed servers leave one of these codes, a
// server that means it adds an ErrorInfo.
func isCut(err error) bool {
	told := status.Convert(err)
	switch told.Code() {
	case codes.Unavailable:
		return true
	case codes.Canceled, codes.Internal, codes.Unknown:
		return infoOf(told) == nil
	}
	return false
}

// kind is the event's arm of the oneof, by its name in the contract.
func kind(event *pb.RunEvent) string {
	message := event.ProtoReflect()
	field := message.WhichOneof(message.Descriptor().Oneofs().ByName("event"))
	if field == nil {
		return "unknown" // a newer server's; the sequence counts all the same
	}
	return string(field.Name())
}
