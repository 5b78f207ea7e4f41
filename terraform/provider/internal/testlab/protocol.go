package testlab

import (
	"context"
	"io"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/provider"
)

// Server is the provider as Terraform sees it, with all parts of the protocol.
type Server interface {
	tfprotov6.ProviderServer
	tfprotov6.ListResourceServer
	tfprotov6.ActionServer
}

// Server is a configured provider for tests of the protocol itself: features of
// Terraform versions that are not there everywhere.
func (l *Lab) Server() Server {
	l.t.Helper()
	server := provider.New("test", io.Discard, l.getenv).(Server)
	schemas, err := server.GetProviderSchema(context.Background(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		l.t.Fatal(err)
	}
	empty := l.Object(schemas.Provider, nil)
	response, err := server.ConfigureProvider(context.Background(), &tfprotov6.ConfigureProviderRequest{Config: empty})
	if err != nil || len(response.Diagnostics) > 0 {
		l.t.Fatalf("%v %v", err, response.Diagnostics)
	}
	return server
}

// Object is a configuration with these attributes; the others are null.
func (l *Lab) Object(schema *tfprotov6.Schema, set map[string]tftypes.Value) *tfprotov6.DynamicValue {
	l.t.Helper()
	kind := schema.ValueType().(tftypes.Object)
	attributes := map[string]tftypes.Value{}
	for name, of := range kind.AttributeTypes {
		attributes[name] = tftypes.NewValue(of, nil)
	}
	for name, value := range set {
		attributes[name] = value
	}
	value, err := tfprotov6.NewDynamicValue(kind, tftypes.NewValue(kind, attributes))
	if err != nil {
		l.t.Fatal(err)
	}
	return &value
}
