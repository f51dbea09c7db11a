-- A Flow is healthy when its spec can be carried out and its last run did not fail. An active run is no progress to wait
-- for: a Flow that runs every minute would never be healthy.
local hs = {}
local status = obj.status

if status == nil or status.observedGeneration ~= obj.metadata.generation then
  hs.status = "Progressing"
  hs.message = "Waiting for the operator to look at the Flow"
  return hs
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local function holds(kind)
  return conditions[kind] ~= nil and conditions[kind].status == "True"
end
local function told(kind)
  local condition = conditions[kind]
  if condition == nil then
    return nil
  end
  if condition.message == nil or condition.message == "" then
    return condition.reason
  end
  return condition.reason .. ": " .. condition.message
end

if holds("Stalled") then
  hs.status = "Degraded"
  hs.message = told("Stalled")
  return hs
end
if holds("Reconciling") or not holds("Ready") then
  hs.status = "Progressing"
  hs.message = told("Reconciling") or told("Ready") or "The operator has not told yet"
  return hs
end
if obj.spec.suspend == true then
  hs.status = "Suspended"
  hs.message = "No tick starts a run"
  return hs
end

local last = status.lastRun
if last ~= nil and (last.phase == "Failed" or last.phase == "TimedOut") then
  hs.status = "Degraded"
  hs.message = told("LastRunSucceeded") or (last.name .. " " .. last.phase)
  return hs
end

hs.status = "Healthy"
if status.active ~= nil and status.active > 0 then
  hs.message = "Active runs: " .. status.active
elseif status.nextTick ~= nil then
  hs.message = "The next run starts at " .. status.nextTick
else
  hs.message = told("Ready")
end
return hs
