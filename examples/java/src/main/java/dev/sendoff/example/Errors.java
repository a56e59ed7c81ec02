package dev.sendoff.example;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import io.grpc.Status.Code;
import io.grpc.StatusException;
import io.grpc.protobuf.StatusProto;
import java.util.Optional;
import java.util.Set;

/** What an error tells. */
final class Errors {
  /** What gRPC says where a network or a killed server cuts a stream. A server that means it adds an ErrorInfo. */
  private static final Set<Code> CUTS = Set.of(Code.CANCELLED, Code.INTERNAL, Code.UNKNOWN);

  private Errors() {}

  /** Whether a stream was cut, as opposed to refused. */
  static boolean isCut(StatusException error) {
    Code code = error.getStatus().getCode();
    return code == Code.UNAVAILABLE || CUTS.contains(code) && info(error).isEmpty();
  }

  /** The code, the reason to decide by with what it is about, and words for people. */
  static String describe(StatusException error) {
    String reason = info(error).map(info -> " " + info.getReason() + " " + info.getMetadataMap()).orElse("");
    return error.getStatus().getCode() + reason + ": " + error.getStatus().getDescription();
  }

  private static Optional<ErrorInfo> info(StatusException error) {
    for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        try {
          return Optional.of(detail.unpack(ErrorInfo.class)).filter(info -> info.getDomain().equals("sendoff"));
        } catch (InvalidProtocolBufferException unreadable) {
          return Optional.empty();
        }
      }
    }
    return Optional.empty();
  }
}
