#include "connection.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "service_config.h"

namespace {

// Of one call with its repeats; long enough for a server to be replaced.
constexpr std::chrono::seconds kDeadline{60};

std::string Describe(const grpc::Status& status) {
  std::string told = NameOf(status.error_code());
  if (auto info = InfoOf(status)) {
    told += " " + info->reason();
    for (const auto& [name, value] : info->metadata()) told += " " + name + "=" + value;
  }
  return told + ": " + status.error_message();
}

std::shared_ptr<grpc::ChannelCredentials> Credentials(const std::string& ca_file) {
  if (ca_file.empty()) return grpc::InsecureChannelCredentials();
  std::ifstream file(ca_file);
  if (!file) throw std::runtime_error("SENDOFF_CA_FILE: cannot read " + ca_file);
  std::ostringstream pem;
  pem << file.rdbuf();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = pem.str();
  return grpc::SslCredentials(options);
}

}  // namespace

CallFailed::CallFailed(grpc::Status status) : std::runtime_error(Describe(status)), status_(std::move(status)) {}

std::optional<google::rpc::ErrorInfo> InfoOf(const grpc::Status& status) {
  google::rpc::Status told;
  if (!told.ParseFromString(status.error_details())) return std::nullopt;
  for (const auto& detail : told.details()) {
    google::rpc::ErrorInfo info;
    if (detail.UnpackTo(&info) && info.domain() == "sendoff") return info;
  }
  return std::nullopt;
}

std::string NameOf(grpc::StatusCode code) {
  static constexpr const char* kNames[] = {
      "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
      "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
      "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"};
  bool known = code >= 0 && static_cast<size_t>(code) < std::size(kNames);
  return known ? kNames[code] : "code " + std::to_string(code);
}

std::string Setting(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::shared_ptr<grpc::Channel> Connect() {
  grpc::ChannelArguments arguments;
  // round_robin over the addresses behind the name, and which calls are repeated, when and how often.
  arguments.SetServiceConfigJSON(kServiceConfig);
  // While calls are under way: after 30 s of silence ask whether the server is there, as often as it takes.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt("grpc.http2.ping_timeout_ms", 10'000);  // by which newer versions of gRPC wait: a minute if unset
  // A server that is back is found soon: left alone, the pauses between attempts grow to two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);  // no pause: how long one attempt may take
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
  arguments.SetMaxReceiveMessageSize(64 * 1024 * 1024);
  std::string address = Setting("SENDOFF_ADDRESS");
  return grpc::CreateCustomChannel(address.empty() ? "127.0.0.1:50051" : address,
                                   Credentials(Setting("SENDOFF_CA_FILE")), arguments);
}

void Authorize(grpc::ClientContext& context) {
  std::string key = Setting("SENDOFF_API_KEY");
  if (!key.empty()) context.AddMetadata("authorization", "Bearer " + key);
}

void Prepare(grpc::ClientContext& context) {
  Authorize(context);
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  context.set_wait_for_ready(true);  // rather than fail where there is no connection right now
}
