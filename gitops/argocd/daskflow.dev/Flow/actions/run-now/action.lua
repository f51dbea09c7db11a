-- Runs the Flow once, now, as `kubectl create` of a FlowRun does. A suspended Flow runs as well.
local os = require("os")

local owner = {}
owner.apiVersion = obj.apiVersion
owner.kind = obj.kind
owner.name = obj.metadata.name
owner.uid = obj.metadata.uid
owner.controller = true

local run = {}
run.apiVersion = obj.apiVersion
run.kind = "FlowRun"
run.metadata = {}
-- At most 57 of the 59 characters that a FlowRun may have: 38 of the Flow's name, and 19.
run.metadata.name = obj.metadata.name .. "-now-" .. os.date("!%Y%m%d%H%M%S")
run.metadata.namespace = obj.metadata.namespace
run.metadata.labels = {}
run.metadata.labels["daskflow.dev/flow"] = obj.metadata.name
run.metadata.ownerReferences = { owner }
run.spec = {}
run.spec.flow = obj.metadata.name

local impacted = {}
impacted.operation = "create"
impacted.resource = run
return { impacted }
