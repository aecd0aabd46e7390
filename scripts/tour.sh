#!/usr/bin/env bash
# The requests of the requirement documents, each held to its status and a piece of its answer.
#   scripts/tour.sh http://127.0.0.1:8000
set -euo pipefail

base=${1:?usage: scripts/tour.sh BASE_URL}
json='Content-Type: application/json'
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
passed=0
failed=0

# expect STATUS PATTERN curl-arguments…: one request. PATTERN is a regular expression that the body matches.
expect () {
  local status=$1 pattern=$2 got
  shift 2
  got=$(curl -sS --max-time 20 -o "$answer" -w '%{http_code}' "$@") || got="no answer ($got)"
  if [ "$got" = "$status" ] && grep -Eq -- "$pattern" "$answer"; then
    passed=$((passed + 1))
    echo "ok: curl $*"
  else
    failed=$((failed + 1))
    echo "not ok: curl $*"
    echo "  wanted $status and /$pattern/, got $got: $(head -c 600 "$answer")"
  fi
}

# The first value of a field in the last answer; nothing where it has none.
field () {
  { grep -oE "\"$1\": ?(\"[^\"]*\"|[0-9]+)" "$answer" || true; } | head -n 1 | sed -E 's/^[^:]*: ?"?([^"]*)"?$/\1/'
}

# Greetings and health
expect 200 '^Welcome to Larder!$' "$base/"
expect 200 '^\{"status": ?"healthy"\}$' "$base/health"
expect 200 '^\{"message": ?"Hello, Alice!"\}$' "$base/user/Alice"
expect 200 '^\{"message": ?"Hello, Bob!"\}$' "$base/user?name=Bob"
expect 200 '^\{"message": ?"Hello, Guest!"\}$' "$base/user"

# Items
expect 201 '"name": ?"Alice"' -X POST -H "$json" -d '{"name":"Alice","age":30}' "$base/items"
id=$(field id)
expect 200 '"cached": ?(true|false), ?"items": ?\[' "$base/items"
expect 200 '"cached": ?true' "$base/items"
expect 200 '"cached": ?true, ?"item": ?\{.*"age": ?30' "$base/items/$id"
expect 200 '"age": ?31' -X PUT -H "$json" -d '{"age":31}' "$base/items/$id"
expect 200 '"name": ?"Alice".*"age": ?31|"age": ?31.*"name": ?"Alice"' "$base/items/$id"
expect 200 '"ok": ?true' -X DELETE "$base/items/$id"
expect 404 '"status": ?404' "$base/items/$id"
expect 200 '"ok": ?true' -X POST "$base/cache/clear"

# Products
expect 200 '"source": ?"database"' "$base/products"
expect 200 '"products": ?\[.*"source": ?"cache"' "$base/products"
expect 201 '"name": ?"Sample Product"' -X POST -H "$json" \
  -d '{"name":"Sample Product","description":"A sample product","price":29.99,"category":"Electronics","stock_quantity":100}' "$base/products"
id=$(field id)
expect 200 '"products": ?\[.*"Sample Product".*"source": ?"database"' "$base/products"
expect 200 '"product": ?\{.*"price": ?29\.99.*"source": ?"(cache|database)"' "$base/products/$id"
expect 200 '"price": ?19\.99' -X PUT -H "$json" -d '{"price":19.99}' "$base/products/$id"
expect 200 '"product": ?\{.*"price": ?19\.99' "$base/products/$id"
expect 200 '"message": ?"Product deleted successfully"' -X DELETE "$base/products/$id"
expect 404 '"status": ?404' "$base/products/$id"
expect 200 '"hits": ?[0-9]+.*"misses": ?[0-9]+.*"hit_rate"' "$base/cache/stats"
expect 200 '"message": ?"Cache cleared successfully"' -X POST "$base/cache/clear"
expect 200 '"performance_improvement": ?"-?[0-9.]+%"' "$base/cache/performance"

# Recipes, for who has the scope
expect 401 '"status": ?401' "$base/recipes"
expect 201 '"token_type": ?"Bearer"' -X POST -H "$json" -d '{"scopes":["recipes:read"]}' "$base/valet/token"
reader="Authorization: Bearer $(field token)"
expect 200 '"recipes": ?\[' -H "$reader" "$base/recipes"
expect 403 '"status": ?403' -X POST -H "$reader" -H "$json" -d '{"title":"Focaccia"}' "$base/recipes"
expect 201 '"token_type": ?"Bearer"' -X POST -H "$json" -d '{"scopes":["recipes:delete"]}' "$base/valet/token"
expect 403 '"status": ?403' -H "Authorization: Bearer $(field token)" "$base/recipes"
expect 201 '"token_type": ?"Bearer"' -X POST -H "$json" -d '{"scopes":["recipes:write"]}' "$base/valet/token"
writer="Authorization: Bearer $(field token)"
expect 201 '"title": ?"Focaccia".*"product_id": ?5' -X POST -H "$writer" -H "$json" -d '{"title":"Focaccia","items":[{"product_id":5,"quantity":0.5}]}' "$base/recipes"
expect 422 '"status": ?422' -X POST -H "$writer" -H "$json" -d '{"title":"Nothing","items":[{"product_id":2000000000,"quantity":1}]}' "$base/recipes"

# Users and posts, cached by route
expect 200 '"user": ?\{"id": ?1, ?"name": ?"Cached User A"\}' "$base/api/users/1"
expect 200 '"message": ?"User updated"' -X PUT -H "$json" -d '{"name":"Updated User A"}' "$base/api/users/1"
expect 200 '"posts": ?\[' "$base/api/posts/"
expect 201 '"message": ?"Post created"' -X POST -H "$json" -d '{"title":"New Post A"}' "$base/api/posts/"
expect 200 '"posts": ?\[.*"New Post A"' "$base/api/posts/?nocache=true"
expect 200 '"message": ?"Cache key deleted"' -X DELETE "$base/api/invalidate/GET:/api/posts/"
expect 404 '"status": ?404' -X DELETE "$base/api/invalidate/GET:/api/posts/"
expect 200 '"hits": ?[0-9]+.*"top_keys": ?\[.*"total_cached_keys"' "$base/metrics/cache"

# Configuration and events
expect 200 '"settings": ?\[' "$base/config"
expect 201 '"type": ?"kitchen\.opened"' -X POST -H "$json" -d '{"channel":"kitchen","event":{"type":"opened"}}' "$base/events"
expect 200 '"dead_letters": ?\[' "$base/events/dead-letters"

# The pages
expect 200 '<title>' -L "$base/docs"
expect 200 '<title>' -L "$base/redoc"
expect 200 '<html' -H 'Accept: text/html' "$base/"
expect 200 '"openapi": ?"3\.1' "$base/openapi.json"
expect 200 '^openapi: "?3\.1' "$base/openapi.yaml"
expect 200 '^# TYPE ' "$base/metrics"

echo "tour: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
