"""Sends through kalyke as its README shows, and prints what became of it. The trusted
certificates come from SSL_CERT_FILE."""

import asyncio
import json
import os

from kalyke import ApnsClient, ApnsConfig, Payload, PayloadAlert
from kalyke.exceptions import ApnsProviderException

settings = json.loads(os.environ["SETTINGS"])


class Client(ApnsClient):
    """The library has Apple's address in a property, and no setting for another one."""

    @property
    def _base_url(self):
        return f"https://{settings['host']}:{settings['port']}"


async def main():
    client = Client(use_sandbox=False, team_id=settings["teamId"], auth_key_id=settings["keyId"], auth_key_filepath=settings["key"])
    config = ApnsConfig(topic=settings["topic"])
    payload = Payload(alert=PayloadAlert(title="Hello", body="World"))
    room = asyncio.Semaphore(20)  # it makes a connection for each

    async def send(device):
        async with room:
            try:
                await client.send_message(device_token=device, payload=payload, apns_config=config)
                return None
            except ApnsProviderException as e:
                return {"Device": device, "Reason": type(e).__name__}

    sent, failed = 0, []
    for _ in range(settings["times"]):
        for failure in await asyncio.gather(*map(send, settings["devices"])):
            if failure is None:
                sent += 1
            else:
                failed.append(failure)
    print(json.dumps({"Sent": sent, "Failed": failed}))


asyncio.run(main())
