package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// commands returns the path of every command, the root first.
func commands(t testing.TB) [][]string {
	t.Helper()
	var paths [][]string
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		paths = append(paths, strings.Fields(cmd.CommandPath())[1:])
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(program{}))
	return paths
}

func TestHelp_OfEveryCommandGoesToStdoutAndSucceeds(t *testing.T) {
	t.Parallel()
	for _, path := range commands(t) {
		name := strings.Join(path, " ")
		got := cli(t, nil, append(path, "--help")...)
		if got.code != exitOK || got.stderr != "" || !strings.Contains(got.stdout, "Usage:") {
			t.Errorf("cardworker %s --help: %s", name, got)
		}
		if got := cli(t, nil, append([]string{"help"}, path...)...); got.code != exitOK || !strings.Contains(got.stdout, "Usage:") {
			t.Errorf("cardworker help %s: %s", name, got)
		}
	}
}

func TestHelp_TellsANewcomerWhereToBegin(t *testing.T) {
	t.Parallel()
	bare, asked := cli(t, nil), cli(t, nil, "--help")
	if bare.code != exitOK || bare.stdout != asked.stdout {
		t.Errorf("without arguments: %s\nwith --help:\n%s", bare, asked)
	}
	for _, want := range []string{"cardworker demo", "cardworker worker", "unblock pin 103169946 --wait", "Exit codes"} {
		if !strings.Contains(asked.stdout, want) {
			t.Errorf("the help does not mention %q", want)
		}
	}
	for _, name := range []string{"demo", "worker", "unblock", "refresh", "operation", "monitor", "sandbox", "doctor", "completion"} {
		if !strings.Contains(asked.stdout, "\n  "+name+" ") {
			t.Errorf("the help does not list the command %s", name)
		}
	}
}

func TestVersion_IsPrinted(t *testing.T) {
	t.Parallel()
	got := cli(t, nil, "--version")
	if got.code != exitOK || got.stdout != "cardworker version "+buildVersion()+"\n" || got.stderr != "" {
		t.Errorf("--version: %s", got)
	}
}

func TestCompletion_ScriptsAndWords(t *testing.T) {
	t.Parallel()
	for shell, want := range map[string]string{
		"bash": "__start_cardworker", "zsh": "#compdef cardworker", "fish": "complete -c cardworker", "powershell": "Register-ArgumentCompleter",
	} {
		got := cli(t, nil, "completion", shell)
		if got.code != exitOK || got.stderr != "" || !strings.Contains(got.stdout, want) {
			t.Errorf("completion %s has no %q, or failed with %d: %s", shell, want, got.code, got.stderr)
		}
	}
	// What the scripts call.
	for _, words := range [][]string{{"unblock", ""}, {"refresh", ""}} {
		got := cli(t, nil, append([]string{"__complete"}, words...)...)
		if !strings.HasPrefix(got.stdout, "pin\ncvv\n") {
			t.Errorf("completing %q: %s", words, got)
		}
	}
}

func TestUsage_WhatIsWrongIsRefusedOnStderrWithoutRepeatingIt(t *testing.T) {
	t.Parallel()
	const id = "cw05-01KAJ4S7Q0Z5M2E8H6N3T9RXVB"
	const pan = "4111111111111111"
	for _, tc := range []struct {
		args string
		want string // on stderr
	}{
		{"unblok", `"unblok" is no command`},
		{pan, "is no command"},
		{"--frob", "unknown flag --frob"},
		{"help frob", "no such command"},
		{"completion tcsh", "wrong arguments"},
		{"completion bash " + pan, "wrong arguments"},
		{"operation frob", "is no command of operation"},
		{"worker now", "no arguments expected"},
		{"monitor now", "no arguments expected"},
		{"sandbox now", "no arguments expected"},
		{"demo now", "no arguments expected"},
		{"health", "wrong arguments"},
		{"health ://", "URL"},

		{"unblock", "pin or cvv and one public token are needed"},
		{"unblock pin", "pin or cvv and one public token are needed"},
		{"unblock pin 103169946 200000001", "pin or cvv and one public token are needed"},
		{"unblock pan 103169946", `"pan" is neither pin nor cvv`},
		{"unblock " + pan + " pin", "neither pin nor cvv"},
		{"unblock pin 103169946 --output yaml", "--output must be text or json"},
		{"unblock pin 103169946 -o", "--output needs a value"},
		{"unblock pin 103169946 --timeout soon", "--timeout must be a duration"},
		{"unblock pin 103169946 --timeout " + pan, "--timeout must be a duration"},
		{"unblock pin 103169946 --wait --timeout -1s", "--timeout must not be negative"},
		{"unblock pin 103169946 --wait=maybe", "--wait must be true or false"},
		{"unblock pin 103169946 -x", "unknown flag -x"},
		{"unblock pin -" + pan, "unknown flag"},
		{"unblock pin --" + pan, "unknown flag"},

		{"refresh", "pin or cvv is needed"},
		{"refresh pin", "no public token was given"},
		{"refresh pan 103169946", `"pan" is neither pin nor cvv`},
		{"refresh " + pan, "neither pin nor cvv"},
		{"refresh pin 103169946 --output xml", "--output must be text or json"},
		{"refresh pin --file /does/not/exist", "--file names a file that cannot be used: no such file"},
		{"refresh pin --file " + pan, "--file names a file that cannot be used: no such file"},
		{"refresh pin 103169946 200000001 --idempotency-key k", "for one card"},

		{"operation get", "one operation id is needed"},
		{"operation get " + id + " " + id, "one operation id is needed"},
		{"operation get 103169946", "no operation id"},
		{"operation watch " + pan, "no operation id"},
		{"operation watch " + id + " --timeout -1s", "--timeout must not be negative"},
		{"operation retry x", "no operation id"},
		{"operation get " + id + " -o yaml", "--output must be text or json"},

		{"sandbox --chaos 2", "chaos"},
		{"sandbox --chaos much", "--chaos must be a number"},
		{"sandbox --seed -1", "--seed must be a whole number"},
		{"sandbox --latency -1s", "atency"},
		{"sandbox --client-secret a --client-secret-file b", "give one"},
	} {
		got := cli(t, []string{"REDIS_URL=redis://127.0.0.1:1"}, strings.Fields(tc.args)...)
		if got.code != exitRefused || got.stdout != "" {
			t.Errorf("cardworker %s: want exit code 2 and nothing on stdout: %s", tc.args, got)
		}
		line := one(t, "stderr of cardworker "+tc.args, got.stderr)
		if !strings.HasPrefix(line, "cardworker: ") || !strings.Contains(line, tc.want) {
			t.Errorf("cardworker %s: stderr is %q, want %q in it", tc.args, line, tc.want)
		}
		clean(t, "cardworker "+tc.args, got.stderr, pan)
	}
}
