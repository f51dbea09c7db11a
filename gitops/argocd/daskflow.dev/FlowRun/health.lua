-- A FlowRun is healthy when it has succeeded, or was stopped because somebody wanted that.
local hs = {}
local status = obj.status

if status == nil or status.phase == nil or status.observedGeneration ~= obj.metadata.generation then
  hs.status = "Progressing"
  hs.message = "Waiting for the operator to look at the FlowRun"
  return hs
end

hs.message = status.phase
if status.reason ~= nil and status.reason ~= status.phase then
  hs.message = hs.message .. ", " .. status.reason
end
if status.message ~= nil then
  hs.message = hs.message .. ": " .. status.message
end

local health = {
  Queued = "Progressing",
  Provisioning = "Progressing",
  Running = "Progressing",
  Retrying = "Progressing",
  Succeeded = "Healthy",
  Failed = "Degraded",
  TimedOut = "Degraded",
  Skipped = "Degraded",
  Cancelled = "Healthy",
}
hs.status = health[status.phase] or "Unknown"
if hs.status ~= "Progressing" then
  return hs
end

-- It waits for somebody: for the operator it cannot go on, or its spec says that it shall not.
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Stalled" and condition.status == "True" then
    hs.status = "Degraded"
    return hs
  end
end
if obj.spec.suspend == true and status.phase == "Queued" then
  hs.status = "Suspended"
end
return hs
