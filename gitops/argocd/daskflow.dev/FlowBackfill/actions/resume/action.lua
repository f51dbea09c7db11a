-- One that was cancelled goes on where it stopped, and runs anew what it cancelled.
if obj.spec.suspend == true then
  obj.spec.suspend = false
end
if obj.spec.cancel == true then
  obj.spec.cancel = false
end
return obj
