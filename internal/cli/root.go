package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/fault"
)

const rootLong = `gpuworker turns physical NVIDIA GPUs in Proxmox VE hosts into Kubernetes worker
VMs and maintains them: one VM for each card, never destroyed by accident.

You write one YAML file. "plan" says what would happen and why. "apply" does it.
Every command can be stopped and run again.`

const rootExample = `  gpuworker demo                     # try it against a simulator
  gpuworker check -f lab.yaml        # is everything ready?
  gpuworker plan -f lab.yaml         # what would happen, and why?
  gpuworker apply -f lab.yaml        # carry it out`

// The groups of verbs in `gpuworker --help`.
const (
	groupLook   = "look"
	groupChange = "change"
	groupCare   = "care"
	groupLearn  = "learn"
)

// The help lists verbs in the order in which a new user needs them. Cobra has only a
// package variable for this.
func init() { cobra.EnableCommandSorting = false }

// root is the command tree.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "gpuworker",
		Short:         "Turns NVIDIA GPUs in Proxmox VE hosts into Kubernetes worker VMs",
		Long:          rootLong,
		Example:       rootExample,
		Args:          cobra.ArbitraryArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			err := a.checkGlobalFlags(cmd)
			if err == nil {
				a.startLog(cmd)
			}
			return err
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 0:
				return unknownCommand(cmd, args[0])
			case !a.forPeople():
				return usage("the command is missing")
			}
			return cmd.Help()
		},
	}
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable .HasParent}}", 1))
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &fault.Error{Kind: fault.Invalid, Why: err.Error(), Fix: cmd.CommandPath() + " --help"}
	})
	root.AddGroup(
		&cobra.Group{ID: groupLook, Title: "Inspect:"},
		&cobra.Group{ID: groupChange, Title: "Change:"},
		&cobra.Group{ID: groupCare, Title: "Manage single workers:"},
		&cobra.Group{ID: groupLearn, Title: "Learn and set up:"},
	)
	root.Version = string(versionLine())
	root.SetVersionTemplate("{{.Version}}\n")
	root.Flags().Bool("version", false, "print the version, like \"gpuworker version\"")
	a.addGlobalFlags(root)
	a.addVerbs(root)
	root.SetHelpCommandGroupID(groupLearn)
	root.SetCompletionCommandGroupID(groupLearn)
	return root
}

func (a *app) addVerbs(root *cobra.Command) {
	add := func(group string, commands ...*cobra.Command) {
		for _, command := range commands {
			command.GroupID = group
			command.Args = helpfulArgs(command.Args)
			root.AddCommand(command)
		}
	}
	if a.Demo != nil {
		add(groupLearn, a.demoCommand())
	}
	add(groupLook, a.hostsCommand(), a.gpusCommand(), a.checkCommand(), a.planCommand(), a.statusCommand(), a.assertCommand())
	add(groupChange, a.applyCommand())
	add(groupCare, a.parkCommand(), a.unparkCommand(), a.replaceCommand(), a.deleteCommand(), a.adoptCommand(), a.acceptCommand(), a.disownCommand(), a.orphansCommand())
	add(groupLearn, a.explainCommand(), a.roleCommand(), a.schemaCommand(), a.exportCommand(), a.renderCommand(), a.versionCommand())
	docs := a.docsCommand()
	docs.Args = helpfulArgs(docs.Args)
	root.AddCommand(docs)
}

// helpfulArgs adds a kind and a fix to the errors of an argument check.
func helpfulArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	if check == nil {
		check = cobra.NoArgs
	}
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &fault.Error{
				Kind: fault.Invalid,
				Why:  "write it as: " + cmd.UseLine(),
				Fix:  cmd.CommandPath() + " --help",
			}
		}
		return nil
	}
}

func unknownCommand(root *cobra.Command, name string) error {
	if root.SuggestionsMinimumDistance == 0 {
		root.SuggestionsMinimumDistance = 2
	}
	fix := helpFix
	if near := root.SuggestionsFor(name); len(near) > 0 {
		fix = "gpuworker " + strings.Join(near, "  or  gpuworker ")
	}
	return &fault.Error{Kind: fault.Invalid, Why: "there is no command " + strconv.Quote(name), Fix: fix}
}
