-- A run that has ended, or is cancelled already, cannot be cancelled.
local ended = {
  Succeeded = true,
  Failed = true,
  Cancelled = true,
  TimedOut = true,
  Skipped = true,
}
local over = obj.status ~= nil and ended[obj.status.phase] == true

local actions = {}
actions["cancel"] = {
  ["disabled"] = over or obj.spec.cancel == true,
  ["iconClass"] = "fa fa-fw fa-stop",
  ["displayName"] = "Cancel",
}
return actions
