-- A FlowBackfill is healthy when all its ticks have been run with success.
local hs = {}
local status = obj.status

if status == nil or status.observedGeneration ~= obj.metadata.generation then
  hs.status = "Progressing"
  hs.message = "Waiting for the operator to look at the FlowBackfill"
  return hs
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local function holds(kind)
  return conditions[kind] ~= nil and conditions[kind].status == "True"
end

local ready = conditions.Ready
if ready == nil then
  hs.status = "Progressing"
  hs.message = "The operator has not told yet"
  return hs
end
hs.message = ready.reason .. ": " .. ready.message

if holds("Complete") then
  hs.status = "Healthy"
elseif holds("Failed") or holds("Stalled") then
  hs.status = "Degraded"
elseif holds("Reconciling") or ready.status ~= "True" then
  hs.status = "Progressing"
  if status.done ~= nil then
    hs.message = status.done .. " done, " .. status.active .. " active; " .. hs.message
  end
else
  hs.status = "Suspended"
end
return hs
