package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// round_robin over the addresses behind the name, and which calls are repeated, when and how often.
//
//go:embed gen/grpc-service-config.json
var serviceConfig string

const maxMessageBytes = 64 << 20

// connect connects with the first call, and again whenever it must.
func connect() (*grpc.ClientConn, error) {
	transport, err := transport()
	if err != nil {
		return nil, err
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(serviceConfig),
		// Rather wait for a connection, as long as the call's deadline lets it, than fail where there is none right now.
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(maxMessageBytes)),
		// After 30 s of silence ask whether the server is there.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		// A server that is back is found soon: left alone, the pauses between attempts grow to two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	if key := os.Getenv("SENDOFF_API_KEY"); key != "" {
		opts = append(opts, grpc.WithPerRPCCredentials(apiKey(key)))
	}
	address := os.Getenv("SENDOFF_ADDRESS")
	if address == "" {
		address = "127.0.0.1:50051"
	}
	return grpc.NewClient(address, opts...)
}

func transport() (credentials.TransportCredentials, error) {
	file := os.Getenv("SENDOFF_CA_FILE")
	if file == "" {
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("SENDOFF_CA_FILE: no certificate in %s", file)
	}
	return credentials.NewTLS(&tls.Config{RootCAs: roots}), nil
}

// apiKey goes with every call.
type apiKey string

func (key apiKey) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(key)}, nil
}

// RequireTransportSecurity would be true in production; here it lets you try a key on your own machine.
func (apiKey) RequireTransportSecurity() bool { return false }
