module sendoff.example/evolution

go 1.26.0

require (
	google.golang.org/protobuf v1.36.12
	sendoff.example/story v0.0.0
)

require (
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261026165753-2ffab32bce7e // indirect
	google.golang.org/grpc v1.85.0 // indirect
)

// The generated code of the example, once its README's Build has made it.
replace sendoff.example/story => ../../../examples/go
