package gate

import "context"

type bulkKey struct{}

// Bulk returns a context whose calls give way to others where there is a rate: nobody waits for them.
func Bulk(ctx context.Context) context.Context { return context.WithValue(ctx, bulkKey{}, true) }

func isBulk(ctx context.Context) bool { return ctx.Value(bulkKey{}) != nil }
