-- Holds a request of an app that sleeps or is being replaced: queries the wake service (runtime/router/wake.py), and waits.
-- It sends `APP MILLISECONDS`, followed by the process type if a path leads to another one than web.
-- While the service is down or being upgraded, the query is repeated until the time is over.
-- The answer is an endpoint, `10.0.0.2:8000`, or an error code, `H20`. HAProxy proxies the request itself.

local PAUSE = 100 -- ms between two queries

local function ask(txn, left)
  local socket = core.tcp()
  socket:settimeout(math.ceil(left / 1000) + 5)
  if not socket:connect("unix@" .. txn:get_var("proc.wake")) then
    return nil
  end
  local process = txn:get_var("txn.process")
  socket:send(txn:get_var("txn.app") .. " " .. math.floor(left) .. (process and " " .. process or "") .. "\n")
  local answer = socket:receive("*l")
  socket:close()
  return answer
end

local function since(began)
  local now = core.now()
  return (now.sec - began.sec) * 1000 + (now.usec - began.usec) / 1000
end

core.register_action("wake", { "http-req" }, function(txn)
  local hold = tonumber(txn:get_var("txn.hold")) or 30000
  local began = core.now()
  local answer = ask(txn, hold)
  while not answer and since(began) + PAUSE < hold do
    core.msleep(PAUSE)
    answer = ask(txn, hold - since(began))
  end
  if answer and answer:match("^%d+%.%d+%.%d+%.%d+:%d+$") then
    txn:set_var("txn.endpoint", answer)
  elseif answer and answer:match("^H%d%d$") then
    txn:set_var("txn.code", answer)
  end
end)
