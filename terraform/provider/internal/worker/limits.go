package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// defaultLimit is the time limit of one operation. The steps have limits of their own.
const defaultLimit = 3 * time.Hour

// Operation is an operation of a resource that has a time limit.
type Operation struct {
	name string // in the attribute timeouts
	of   func(timeouts.Value, context.Context, time.Duration) (time.Duration, diag.Diagnostics)
	fix  string // what to do when its time is over
}

const again = "run the same command again"

// The operations. Read and Delete take their limit from the state.
var (
	Create = Operation{"create", timeouts.Value.Create, again + ": it continues from here; for more time, set a longer timeouts.create"}
	Read   = Operation{"read", timeouts.Value.Read, again + "; for more time, set a longer timeouts.read and apply it with -refresh=false"}
	Update = Operation{"update", timeouts.Value.Update, again + ": it continues from here; for more time, set a longer timeouts.update"}
	Delete = Operation{"delete", timeouts.Value.Delete, again + ": it continues from here; for more time, first apply a longer timeouts.delete"}
)

// TimeoutsSchema is the attribute timeouts.
func TimeoutsSchema(ctx context.Context) schema.Attribute {
	const about = `, such as "30m"; default "3h". When it is over, the operation fails and says what it was waiting for. `
	return timeouts.Attributes(ctx, timeouts.Opts{
		Create: true, CreateDescription: "Time limit of a creation" + about + "The next apply continues from there.",
		Read: true, ReadDescription: "Time limit of a refresh" + about + "A refresh takes the limit from the state.",
		Update: true, UpdateDescription: "Time limit of a change" + about + "The next apply continues from there.",
		Delete: true, DeleteDescription: "Time limit of a destroy" + about + "The next destroy continues from there. It takes the limit from the state: apply it first.",
	})
}

// Limit is the time limit of one operation.
type Limit struct {
	operation Operation
	limit     time.Duration
}

// LimitOf is the time limit of an operation, from the attribute timeouts.
func LimitOf(ctx context.Context, get func(context.Context, path.Path, any) diag.Diagnostics, operation Operation, diagnostics *diag.Diagnostics) Limit {
	var limits timeouts.Value
	diagnostics.Append(get(ctx, path.Root("timeouts"), &limits)...)
	limit, problems := operation.of(limits, ctx, defaultLimit)
	diagnostics.Append(problems...)
	return Limit{operation, limit}
}

// Begin returns a context that ends when the time is over.
func (l Limit) Begin(ctx context.Context) (limited context.Context, end context.CancelFunc) {
	return context.WithTimeout(ctx, l.limit)
}

// Explain adds to an error that the time is over, if it is: err says what was going on
// then. Of several joined errors, it explains each.
func (l Limit) Explain(limited context.Context, err error) error {
	if err == nil || !errors.Is(limited.Err(), context.DeadlineExceeded) {
		return err
	}
	if joined, several := err.(interface{ Unwrap() []error }); several {
		var all []error
		for _, one := range joined.Unwrap() {
			all = append(all, l.Explain(limited, one))
		}
		return errors.Join(all...)
	}
	return &fault.Error{
		Kind: fault.Interrupted, Why: fmt.Sprintf("the time of timeouts.%s, %s, is over", l.operation.name, l.limit), Cause: err,
		Fix: l.operation.fix,
	}
}

// The names of the attributes of AddressWait and GuestWait.
const (
	addressWait = "wait_for_address"
	guestWait   = "wait_for_guest"
)

// AddressWait is how long a started VM is waited for; nil for the default.
func (o Object) AddressWait() *time.Duration { return o.duration(addressWait) }

// GuestWait is how long a guest may take to become as ordered; nil for the default.
func (o Object) GuestWait() *time.Duration { return o.duration(guestWait) }

func (o Object) duration(attribute string) *time.Duration {
	wait, err := time.ParseDuration(o.Text(attribute))
	if err != nil { // it is null; anything else was refused by the schema
		return nil
	}
	return &wait
}

// AddressWaitSchema is the attribute of AddressWait.
func AddressWaitSchema() schema.StringAttribute {
	return schema.StringAttribute{
		Optional: true, Validators: []validator.String{notNegative{}},
		MarkdownDescription: "How long a VM that was started is given to report an address through its guest agent, such as `2m`. If it does not, this is a warning, and the VM stays as it is. " +
			"`0s` does not wait: use it for templates without a guest agent. Then `addresses` are empty until a refresh finds them. Default: `5m`. " +
			"A change of it changes no VM. The time is a part of `timeouts`.",
	}
}

// GuestWaitSchema is the attribute of GuestWait.
func GuestWaitSchema() schema.StringAttribute {
	return schema.StringAttribute{
		Optional: true, Validators: []validator.String{notNegative{}},
		MarkdownDescription: "How long gpuworker-guest is given to install and prove the driver in a new guest, such as `30m`, if there is a `bootstrap`. Then the apply fails, the VM stays, and the next apply continues. " +
			"`0s` does not wait: each plan shows the worker as unfinished, until an apply that waits has proven it. Default: `45m`. A change of it changes no VM. The time is a part of `timeouts`.",
	}
}

// notNegative checks that a text is a duration of zero or more.
type notNegative struct{}

func (notNegative) Description(context.Context) string { return "a duration of zero or more" }

func (v notNegative) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (notNegative) ValidateString(_ context.Context, request validator.StringRequest, response *validator.StringResponse) {
	if request.ConfigValue.IsNull() || request.ConfigValue.IsUnknown() {
		return
	}
	text := request.ConfigValue.ValueString()
	if wait, err := time.ParseDuration(text); err != nil || wait < 0 {
		response.Diagnostics.AddAttributeError(request.Path, "The configuration is not valid",
			fmt.Sprintf("%s: %q is not a duration of zero or more\n→ write \"90s\" or \"2m\", or \"0s\" to not wait", request.Path, text))
	}
}
