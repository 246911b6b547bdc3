#!/bin/sh
# Makes the secrets of the compose file where they are missing, so that none is in the repository and
# no default password exists:
#
#   monitor/password       the login of the monitor
#   sandbox/client_secret  what the worker proves itself with to the sandbox
#   NAME/redis_password    of the users worker, producer, monitor and operator of Redis
#   redis/admin_password   of the user admin, who may do everything
#   redis/users.acl        the users of Redis, with hashes of these passwords, from deploy/users.acl
#
# "show" prints the monitor's password instead, "show admin" the one of Redis's admin. Runs once, before the
# services that read them.
set -eu

dir=${SECRETS_DIR:-/run/cardworker}
# The group of the services (see the Dockerfile); root owns the files, so the services cannot change them.
group=${SECRETS_GROUP:-65532}
# The group of the Redis image.
redis_group=${SECRETS_REDIS_GROUP:-1000}
users=${SECRETS_USERS:-/users.acl}

case "${1:-make} ${2:-monitor}" in
make*) ;;
'show monitor')
	cat "$dir/monitor/password"
	exit 0
	;;
'show admin')
	cat "$dir/redis/admin_password"
	exit 0
	;;
*)
	echo "usage: secrets.sh [make|show [monitor|admin]]" >&2
	exit 2
	;;
esac

# Without rules the ACL file would be empty, and Redis would let everybody do everything.
if [ ! -f "$users" ] || [ ! -s "$users" ]; then
	echo "secrets.sh: $users is no file with the users of Redis; mount deploy/users.acl there" >&2
	exit 1
fi

umask 077

# place FILE GROUP moves FILE.new into place when it is whole, so that an interrupted start leaves no half a secret.
place() {
	chgrp "$2" "$1.new"
	chmod 0440 "$1.new"
	mv "$1.new" "$1"
}

# secret FILE GROUP makes a secret of 24 random bytes, written as 32 characters that need no quoting anywhere.
secret() {
	if [ -s "$1" ]; then return; fi
	rm -f "$1.new" # what an interrupted start has left may not be written to
	head -c 24 /dev/urandom | base64 | tr '+/' '-_' >"$1.new"
	place "$1" "$2"
}

secret "$dir/monitor/password" "$group"
secret "$dir/sandbox/client_secret" "$group"
secret "$dir/redis/admin_password" "$redis_group"
for user in worker producer monitor operator; do
	secret "$dir/$user/redis_password" "$group"
done

# hash FILE is how an ACL file writes a password.
hash() {
	tr -d '\n' <"$1" | sha256sum | cut -d ' ' -f 1
}

# The rules may have changed with a new release, so this file is always made.
rm -f "$dir/redis/users.acl.new"
sed -e '/^#/d' -e '/^$/d' \
	-e "s/#<admin>/#$(hash "$dir/redis/admin_password")/" \
	-e "s/#<worker>/#$(hash "$dir/worker/redis_password")/" \
	-e "s/#<producer>/#$(hash "$dir/producer/redis_password")/" \
	-e "s/#<monitor>/#$(hash "$dir/monitor/redis_password")/" \
	-e "s/#<operator>/#$(hash "$dir/operator/redis_password")/" "$users" |
	awk '/^user / { if (NR > 1) print ""; printf "%s", $0; next } { sub(/^ +/, " "); printf "%s", $0 } END { print "" }' \
		>"$dir/redis/users.acl.new"
place "$dir/redis/users.acl" "$redis_group"

if [ -n "${SECRETS_DIR:-}" ]; then
	echo "The users of Redis are in $dir/redis/users.acl, the secrets below $dir."
else # In the compose file.
	echo 'The monitor is at http://127.0.0.1:8081, user admin. Its password is printed by: docker compose run --rm secrets show'
fi
