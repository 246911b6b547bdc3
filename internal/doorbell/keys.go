package doorbell

import "strings"

// asynq names its keys asynq:{QUEUE}:… and each of its scripts takes a list of keys that no other takes,
// which tells the scripts apart without knowing their text.

const (
	keyPrefix     = "asynq:{"
	pendingSuffix = "}:pending"
)

// pendingKey returns the key of the tasks of a queue that may be run.
func pendingKey(queue string) string { return keyPrefix + queue + pendingSuffix }

// queueOf returns the queue whose pending tasks a key holds, or "".
func queueOf(key string) string {
	if !strings.HasPrefix(key, keyPrefix) || !strings.HasSuffix(key, pendingSuffix) {
		return ""
	}
	return key[len(keyPrefix) : len(key)-len(pendingSuffix)]
}

// Enqueues returns the queue that a script with these keys puts a task into, or "".
func Enqueues(keys []string) string {
	if len(keys) != 2 {
		return ""
	}
	q := queueOf(keys[1])
	if q == "" || !strings.HasPrefix(keys[0], keyPrefix+q+"}:t:") {
		return ""
	}
	return q
}

// dequeues returns the queue that a script with these keys takes a task from, or "".
func dequeues(keys []string) string {
	if len(keys) != 4 {
		return ""
	}
	q := queueOf(keys[0])
	if q == "" || keys[1] != keyPrefix+q+"}:paused" {
		return ""
	}
	return q
}

// DequeueKeys are the keys of the script that takes a task from a queue.
func DequeueKeys(queue string) []string {
	p := keyPrefix + queue + "}:"
	return []string{p + "pending", p + "paused", p + "active", p + "lease"}
}

// archivedKey returns the key of the tasks of a queue that are not run any more.
func archivedKey(queue string) string { return keyPrefix + queue + "}:archived" }

// TaskPrefix is what the keys of a queue's tasks begin with; the task's id follows.
func TaskPrefix(queue string) string { return keyPrefix + queue + "}:t:" }

// forwards returns the queue in which a script with these keys makes delayed tasks pending, or "".
func forwards(keys []string) string {
	if len(keys) != 2 {
		return ""
	}
	q := queueOf(keys[1])
	if q == "" || (keys[0] != keyPrefix+q+"}:retry" && keys[0] != keyPrefix+q+"}:scheduled") {
		return ""
	}
	return q
}

// channel is where the rings for a queue are published.
func channel(queue string) string { return "cardworker:bell:" + queue }
