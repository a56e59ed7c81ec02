#include "watch.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <random>
#include <thread>

#include "connection.h"

namespace v1 = sendoff::v1;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds kPatience{60};  // how long nothing may come at all before the watch is given up

// Where a network or a killed server cuts a stream, gRPC says one of these; a server that means it adds an ErrorInfo.
bool IsCut(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      return true;
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNKNOWN:
      return !InfoOf(status);
    default:
      return false;
  }
}

std::chrono::duration<double> Backoff(int failures) {
  static std::mt19937 random(std::random_device{}());
  double longest_s = std::min(2.0, 0.2 * std::pow(2.0, std::min(failures, 10)));
  return std::chrono::duration<double>(longest_s * std::uniform_real_distribution<>(0.5, 1.0)(random));
}

class Log {
 public:
  Log(v1::RunService::Stub& runs, const std::string& run_id, const std::function<void(const v1::RunEvent&)>& on_event)
      : runs_(runs), run_id_(run_id), on_event_(on_event) {}

  // Reads one stream. True: the log is at its end.
  bool ReadStream() {
    v1::WatchRunRequest request;
    request.set_run_id(run_id_);
    request.set_after_sequence(after_);
    request.set_include_deltas(true);
    grpc::ClientContext context;  // no deadline: a run may take hours, and keep-alive finds out if nobody is there
    Authorize(context);
    auto reader = runs_.WatchRun(&context, request);
    v1::WatchRunResponse frame;
    while (reader->Read(&frame)) Take(frame);
    cut_ = reader->Finish();  // what ended the stream is known here only
    if (finished_) return true;
    if (cut_.ok()) cut_ = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the stream ended before the run");
    return false;
  }

  void PauseOrThrow() {
    if (!IsCut(cut_) || Clock::now() - last_news_ > kPatience) throw CallFailed(cut_);
    std::cerr << "\nwatch cut (" << NameOf(cut_.error_code()) << "), going on after event " << after_ << std::endl;
    std::this_thread::sleep_for(Backoff(failures_++));
  }

 private:
  void Take(const v1::WatchRunResponse& frame) {
    if (!frame.has_end()) last_news_ = Clock::now();
    if (frame.has_delta()) {  // text that is being written; its message event has it whole
      // One that replaces is all of its part so far: after a cut the text is told anew.
      std::cerr << (frame.delta().replaces() ? "\n" : "") << frame.delta().text() << std::flush;
    } else if (frame.has_event() && frame.event().sequence() > after_) {
      failures_ = 0;
      after_ = frame.event().sequence();
      finished_ = frame.event().has_finished();
      on_event_(frame.event());
    }  // all else (heartbeats, why a stream ends, what newer servers send) changes nothing
  }

  v1::RunService::Stub& runs_;
  const std::string& run_id_;
  const std::function<void(const v1::RunEvent&)>& on_event_;
  int64_t after_ = 0;  // sequence of the last event that was told; it is all that must be remembered
  int failures_ = 0;   // in a row
  bool finished_ = false;
  Clock::time_point last_news_ = Clock::now();
  grpc::Status cut_;
};

}  // namespace

void Watch(v1::RunService::Stub& runs, const std::string& run_id,
           const std::function<void(const v1::RunEvent&)>& on_event) {
  Log log(runs, run_id, on_event);
  while (!log.ReadStream()) log.PauseOrThrow();
}
