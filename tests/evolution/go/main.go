// Decodes recorded calls with the generated code of examples/go, encodes them again, and says what it found: for each
// file of calls a line "PATH messages=N unknown=N". Ends with an error if anything is not the same afterwards.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "sendoff.example/story/gen/sendoff/v1"
)

// One line of a file: a call. JSON's base64 becomes bytes.
type exchange struct {
	Method    string   `json:"method"`
	Requests  [][]byte `json:"requests"`
	Responses [][]byte `json:"responses"`
}

func main() {
	for _, path := range os.Args[1:] {
		messages, unknown, err := check(path)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			os.Exit(1)
		}
		fmt.Printf("%s messages=%d unknown=%d\n", path, messages, unknown)
	}
}

func check(path string) (messages, unknown int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var made exchange
		if err := json.Unmarshal(lines.Bytes(), &made); err != nil {
			return 0, 0, err
		}
		count, unknowns, err := checkCall(made)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", made.Method, err)
		}
		messages, unknown = messages+count, unknown+unknowns
	}
	return messages, unknown, lines.Err()
}

func checkCall(made exchange) (messages, unknown int, err error) {
	service, method, _ := strings.Cut(made.Method, "/")
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return 0, 0, err
	}
	called := found.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method))
	check := func(kind protoreflect.MessageDescriptor, raws [][]byte) error {
		for _, raw := range raws {
			unknowns, err := checkMessage(kind.FullName(), raw)
			if err != nil {
				return fmt.Errorf("%s: %w", kind.FullName(), err)
			}
			messages, unknown = messages+1, unknown+unknowns
		}
		return nil
	}
	if err = check(called.Input(), made.Requests); err == nil {
		err = check(called.Output(), made.Responses)
	}
	return messages, unknown, err
}

// Nothing may be lost or changed on the way through the generated type. Bytes may change places: maps have no order,
// and unknown fields go to the end.
func checkMessage(name protoreflect.FullName, raw []byte) (unknown int, err error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		return 0, err
	}
	read, again := kind.New().Interface(), kind.New().Interface()
	if err := proto.Unmarshal(raw, read); err != nil {
		return 0, err
	}
	written, err := proto.Marshal(read)
	if err != nil {
		return 0, err
	}
	if err := proto.Unmarshal(written, again); err != nil {
		return 0, err
	}
	if len(written) != len(raw) || !proto.Equal(read, again) {
		return 0, fmt.Errorf("%d bytes became %d", len(raw), len(written))
	}
	return countUnknown(read.ProtoReflect()), nil
}

// Messages that hold fields which the generated code does not know.
func countUnknown(message protoreflect.Message) int {
	count := 0
	if len(message.GetUnknown()) > 0 {
		count = 1
	}
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap() || field.Message() == nil:
		case field.IsList():
			for i := range value.List().Len() {
				count += countUnknown(value.List().Get(i).Message())
			}
		default:
			count += countUnknown(value.Message())
		}
		return true
	})
	return count
}
