package dev.sendoff.example;

import static java.util.concurrent.TimeUnit.SECONDS;

import com.google.gson.Gson;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.Map;

/** How to speak to the server. */
final class Connection {
  /** Of one call with its repeats; long enough for a server to be replaced. */
  private static final long DEADLINE_S = 60;

  private Connection() {}

  /** A channel connects with its first call, and again whenever it must: a program needs one, for all its threads. */
  static ManagedChannel open(Map<String, String> environment) throws IOException {
    String address = environment.getOrDefault("SENDOFF_ADDRESS", "127.0.0.1:50051");
    return Grpc.newChannelBuilder(address, credentials(environment.get("SENDOFF_CA_FILE")))
        // round_robin over the addresses behind the name, and which calls are repeated, when and how often.
        .defaultServiceConfig(serviceConfig())
        // While calls are under way: after 30 s of silence ask whether the server is there.
        .keepAliveTime(30, SECONDS)
        .keepAliveTimeout(10, SECONDS)
        .maxInboundMessageSize(64 * 1024 * 1024)
        .intercept(MetadataUtils.newAttachHeadersInterceptor(token(environment.get("SENDOFF_API_KEY"))))
        .build();
  }

  /** A stub for one call: a deadline counts from when it is set, so a stub that is kept would soon be too late. */
  static <S extends AbstractStub<S>> S call(S stub) {
    // Rather wait for a connection than fail where there is none right now.
    return stub.withWaitForReady().withDeadlineAfter(DEADLINE_S, SECONDS);
  }

  private static ChannelCredentials credentials(String caFile) throws IOException {
    if (caFile == null || caFile.isEmpty()) {
      return InsecureChannelCredentials.create();
    }
    return TlsChannelCredentials.newBuilder().trustManager(new File(caFile)).build();
  }

  private static Metadata token(String apiKey) {
    Metadata headers = new Metadata();
    if (apiKey != null && !apiKey.isEmpty()) {
      headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + apiKey);
    }
    return headers;
  }

  @SuppressWarnings("unchecked") // Gson makes what gRPC wants: maps, lists, texts and doubles
  private static Map<String, Object> serviceConfig() throws IOException {
    try (var file = new InputStreamReader(Connection.class.getResourceAsStream("/grpc-service-config.json"))) {
      return new Gson().fromJson(file, Map.class);
    }
  }
}
