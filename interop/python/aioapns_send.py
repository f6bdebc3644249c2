"""Sends through aioapns as its README shows, and prints what became of it."""

import asyncio
import json
import os
import ssl

from aioapns import APNs, NotificationRequest
from aioapns.connection import APNsProductionClientProtocol

settings = json.loads(os.environ["SETTINGS"])
# The library has Apple's address in its classes, and no setting for another one.
APNsProductionClientProtocol.APNS_SERVER = settings["host"]
APNsProductionClientProtocol.APNS_PORT = settings["port"]


async def main():
    with open(settings["key"]) as f:
        key = f.read()
    client = APNs(
        key=key, key_id=settings["keyId"], team_id=settings["teamId"], topic=settings["topic"],
        ssl_context=ssl.create_default_context(cafile=settings["ca"]),
    )

    async def send(device):
        request = NotificationRequest(device_token=device, message={"aps": {"alert": "Hello"}})
        return device, await client.send_notification(request)

    sent, failed = 0, []
    for _ in range(settings["times"]):
        for device, result in await asyncio.gather(*map(send, settings["devices"])):
            if result.is_successful:
                sent += 1
            else:
                failed.append({"Device": device, "Reason": result.description, "Status": int(result.status)})
    print(json.dumps({"Sent": sent, "Failed": failed}))


asyncio.run(main())
