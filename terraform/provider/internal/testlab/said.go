package testlab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// said collects what the provider says: Terraform breaks the lines of messages, and its
// test library shows no warnings.
type said struct {
	mu    sync.Mutex
	texts []string
}

// Said returns the errors and warnings of the provider since the last call, sorted and
// each once, as "error at gpus[0]: SUMMARY: DETAIL", and which resources a refresh has
// removed from the state: Terraform does not keep that when the plan fails.
func (l *Lab) Said() []string {
	l.said.mu.Lock()
	defer l.said.mu.Unlock()
	texts := l.said.texts
	l.said.texts = nil
	slices.Sort(texts)
	return slices.Compact(texts)
}

// Expect fails the test when the provider has said anything else since the last call.
func (l *Lab) Expect(want ...string) {
	l.t.Helper()
	got := l.Said()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		l.t.Errorf("the provider said:\n\n%s\n\nwant:\n\n%s", strings.Join(got, "\n\n"), strings.Join(want, "\n\n"))
	}
}

func (s *said) add(all []*tfprotov6.Diagnostic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range all {
		severity, at := "error", ""
		if d.Severity == tfprotov6.DiagnosticSeverityWarning {
			severity = "warning"
		}
		if d.Attribute != nil && len(d.Attribute.Steps()) > 0 {
			at = " at " + pathText(d.Attribute)
		}
		s.texts = append(s.texts, fmt.Sprintf("%s%s: %s: %s", severity, at, d.Summary, d.Detail))
	}
}

// pathText writes a path as the configuration does: gpus[0].card.
func pathText(at *tftypes.AttributePath) string {
	var out strings.Builder
	for i, step := range at.Steps() {
		switch step := step.(type) {
		case tftypes.AttributeName:
			if i > 0 {
				out.WriteByte('.')
			}
			out.WriteString(string(step))
		case tftypes.ElementKeyInt:
			fmt.Fprintf(&out, "[%d]", int64(step))
		case tftypes.ElementKeyString:
			fmt.Fprintf(&out, "[%q]", string(step))
		}
	}
	return out.String()
}

// listener collects the diagnostics of a protocol server.
type listener struct {
	Server
	said *said
}

func (l *listener) ValidateResourceConfig(ctx context.Context, request *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	response, err := l.Server.ValidateResourceConfig(ctx, request)
	l.said.add(response.Diagnostics)
	return response, err
}

func (l *listener) ReadResource(ctx context.Context, request *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	response, err := l.Server.ReadResource(ctx, request)
	l.said.add(response.Diagnostics)
	if gone, err := response.NewState.IsNull(); err == nil && gone {
		l.said.mu.Lock()
		defer l.said.mu.Unlock()
		l.said.texts = append(l.said.texts, "removed from the state: "+request.TypeName)
	}
	return response, err
}

func (l *listener) PlanResourceChange(ctx context.Context, request *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	response, err := l.Server.PlanResourceChange(ctx, request)
	l.said.add(response.Diagnostics)
	return response, err
}

func (l *listener) ApplyResourceChange(ctx context.Context, request *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	response, err := l.Server.ApplyResourceChange(ctx, request)
	l.said.add(response.Diagnostics)
	return response, err
}
