// How to speak to the server.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "google/rpc/error_info.pb.h"

// A call that did not work.
class CallFailed : public std::runtime_error {
 public:
  explicit CallFailed(grpc::Status status);
  const grpc::Status& status() const { return status_; }

 private:
  grpc::Status status_;
};

// What our server says about its errors: a reason to decide by, with what it is about.
std::optional<google::rpc::ErrorInfo> InfoOf(const grpc::Status& status);

// UNAVAILABLE, NOT_FOUND, ...
std::string NameOf(grpc::StatusCode code);

// An environment variable; empty if it is not set.
std::string Setting(const char* name);

// A channel connects with its first call, and again whenever it must: a program needs one, for all its threads.
std::shared_ptr<grpc::Channel> Connect();

// Adds the API key, if there is one. A context serves one call.
void Authorize(grpc::ClientContext& context);

// For a call with one answer: the API key and a deadline.
void Prepare(grpc::ClientContext& context);

// Makes a call. Throws CallFailed.
template <typename Stub, typename Request, typename Response>
Response Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request) {
  grpc::ClientContext context;
  Prepare(context);
  Response response;
  grpc::Status status = (stub.*method)(&context, request, &response);
  if (!status.ok()) throw CallFailed(status);
  return response;
}
