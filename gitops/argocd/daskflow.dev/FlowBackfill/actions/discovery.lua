-- A backfill that has ended is never taken up again.
local over = obj.status ~= nil and obj.status.finishedAt ~= nil
local cancelled = obj.spec.cancel == true
local rests = obj.spec.suspend == true or cancelled

local actions = {}
actions["suspend"] = {
  ["disabled"] = over or rests,
  ["iconClass"] = "fa fa-fw fa-pause",
  ["displayName"] = "Suspend",
}
actions["resume"] = {
  ["disabled"] = over or not rests,
  ["iconClass"] = "fa fa-fw fa-redo",
  ["displayName"] = "Resume",
}
actions["cancel"] = {
  ["disabled"] = over or cancelled,
  ["iconClass"] = "fa fa-fw fa-stop",
  ["displayName"] = "Cancel",
}
return actions
