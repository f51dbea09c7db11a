-- A DaskCluster is healthy when its scheduler and all its workers are as the spec asks.
local hs = {}
local status = obj.status

if status == nil or status.observedGeneration ~= obj.metadata.generation then
  hs.status = "Progressing"
  hs.message = "Waiting for the operator to look at the DaskCluster"
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
if holds("Suspended") then
  hs.status = "Suspended"
  hs.message = told("Suspended")
  return hs
end

-- Containers that do not start, as Argo CD judges a Pod with one.
local broken = {
  ImagePullBackOff = true,
  ErrImagePull = true,
  ErrImageNeverPull = true,
  InvalidImageName = true,
  CrashLoopBackOff = true,
  CreateContainerConfigError = true,
  CreateContainerError = true,
  RunContainerError = true,
}
local ready = conditions.Ready
if ready ~= nil and ready.status == "False" and broken[ready.reason] then
  hs.status = "Degraded"
  hs.message = told("Ready")
  return hs
end

-- What serves goes on with the certificate that there is, and somebody has to see to the next one.
local certificates = conditions.CertificatesReady
local goes_on = { Outdated = true, CertificateNotReady = true, Suspended = true }
if certificates ~= nil and certificates.status == "False" and not goes_on[certificates.reason] then
  hs.status = "Degraded"
  hs.message = told("CertificatesReady")
  return hs
end

if holds("Reconciling") or not holds("Ready") then
  hs.status = "Progressing"
  if holds("Reconciling") then
    hs.message = told("Reconciling")
  else
    hs.message = told("Ready") or "The operator has not told yet"
  end
  return hs
end

hs.status = "Healthy"
hs.message = "Workers: " .. status.workers.ready .. " of " .. status.workers.desired
if ready.reason == "Idle" then
  hs.message = told("Ready")
end
return hs
