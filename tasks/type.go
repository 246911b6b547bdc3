package tasks

// Type names one step of an operation as the queue sees it: the task type that a worker routes by, by
// exact match. No type is a prefix of another. The zero value is no type.
type Type string

// The task types.
const (
	TypeUnblockCVV Type = "cvv:unblock"
	TypeConfirmCVV Type = "cvv:confirm"
	TypeStatusCVV  Type = "cvv:status"
	TypeUnblockPIN Type = "pin:unblock"
	TypeConfirmPIN Type = "pin:confirm"
	TypeStatusPIN  Type = "pin:status"
)

// firstTypes holds the step that every kind begins with.
var firstTypes = map[Kind]Type{
	UnblockCVV:       TypeUnblockCVV,
	UnblockPIN:       TypeUnblockPIN,
	RefreshCVVStatus: TypeStatusCVV,
	RefreshPINStatus: TypeStatusPIN,
}

// Types lists every task type, in the order of their names.
func Types() []Type {
	return []Type{
		TypeConfirmCVV, TypeStatusCVV, TypeUnblockCVV,
		TypeConfirmPIN, TypeStatusPIN, TypeUnblockPIN,
	}
}

// FirstType returns the step that an operation of this kind begins with, or "" for an invalid kind.
func (k Kind) FirstType() Type { return firstTypes[k] }

// ConfirmType returns the step that follows an accepted unblock, or "" for a kind that has none.
func (k Kind) ConfirmType() Type {
	switch k {
	case UnblockCVV:
		return TypeConfirmCVV
	case UnblockPIN:
		return TypeConfirmPIN
	default:
		return ""
	}
}

// Kind returns the kind of operation that the step belongs to, or "" for an unknown type.
func (t Type) Kind() Kind {
	switch t {
	case TypeUnblockCVV, TypeConfirmCVV:
		return UnblockCVV
	case TypeUnblockPIN, TypeConfirmPIN:
		return UnblockPIN
	case TypeStatusCVV:
		return RefreshCVVStatus
	case TypeStatusPIN:
		return RefreshPINStatus
	default:
		return ""
	}
}

// Confirms reports whether the step reads a status back after an unblock.
func (t Type) Confirms() bool { return t == TypeConfirmCVV || t == TypeConfirmPIN }

// Valid reports whether t is one of [Types].
func (t Type) Valid() bool { return t.Kind() != "" }
