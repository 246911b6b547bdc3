package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError says what is wrong with a flag. It repeats no value, and no name that may be confidential in
// the wrong place: a card number behind a dash is a flag to the parser.
func flagError(cmd *cobra.Command, err error) error {
	return usagef("%s; run %s --help", flagProblem(err), cmd.CommandPath())
}

func flagProblem(err error) string {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return "unknown flag -" + safeWord(unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return "unknown flag --" + safeWord(unknown.GetSpecifiedName())
	case errors.As(err, &missing):
		return fmt.Sprintf("--%s needs a value", missing.GetFlag().Name)
	case errors.As(err, &invalid):
		return fmt.Sprintf("--%s must be %s", invalid.GetFlag().Name, wantedFlag(invalid.GetFlag().Value.Type()))
	default:
		return "a flag cannot be read"
	}
}

// wantedFlag describes the values of a type of flag, by pflag's name of it.
func wantedFlag(typ string) string {
	switch typ {
	case "duration":
		return "a duration such as 500ms, 10s or 5m"
	case "bool":
		return "true or false"
	case "float64":
		return "a number"
	case "uint64":
		return "a whole number, 0 or more"
	default:
		return "a " + typ
	}
}
