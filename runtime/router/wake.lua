-- Holds a request of an app that sleeps or is being replaced: asks the wake service (runtime/router/wake.py), and waits.
-- Decides nothing: the answer is an endpoint, `10.0.0.2:8000`, or a code, `H20`. HAProxy proxies the request itself.

core.register_action("wake", { "http-req" }, function(txn)
  local hold = tonumber(txn:get_var("txn.hold")) or 30000
  local socket = core.tcp()
  socket:settimeout(math.ceil(hold / 1000) + 5)
  if not socket:connect("unix@" .. txn:get_var("proc.wake")) then
    return
  end
  socket:send(txn:get_var("txn.app") .. " " .. hold .. "\n")
  local answer = socket:receive("*l")
  socket:close()
  if answer and answer:match("^%d+%.%d+%.%d+%.%d+:%d+$") then
    txn:set_var("txn.endpoint", answer)
  elseif answer and answer:match("^H%d%d$") then
    txn:set_var("txn.code", answer)
  end
end)
