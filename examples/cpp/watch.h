#pragma once

#include <functional>
#include <string>

#include "sendoff/v1/run_service.grpc.pb.h"

// Tells a run's log to its end: every event once and in order, over as many streams as it takes. Throws CallFailed.
void Watch(sendoff::v1::RunService::Stub& runs, const std::string& run_id,
           const std::function<void(const sendoff::v1::RunEvent&)>& on_event);
