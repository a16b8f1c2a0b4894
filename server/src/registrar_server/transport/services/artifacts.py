"""ArtifactService."""

from __future__ import annotations

from registrar_server.application.artifacts import Artifacts
from registrar_server.application.downloads import Downloads
from registrar_server.application.transfers import Transfers
from registrar_server.application.upload_streams import UploadStreams
from registrar_server.application.uploads import Uploads
from registrar_server.application.verification import Verification
from registrar_server.transport.services.downloads import DownloadRpcs
from registrar_server.transport.services.uploads import UploadRpcs
from registrar_server.transport.streams import Slots


class ArtifactServicer(UploadRpcs, DownloadRpcs):
    """Both ways. Uploads and downloads have slots of their own."""

    def __init__(
        self,
        artifacts: Artifacts,
        uploads: Uploads,
        upload_streams: UploadStreams,
        downloads: Downloads,
        verification: Verification,
        *,
        upload_slots: Slots,
        download_slots: Slots,
        wait_slots: Slots,
        transfers: Transfers,
        stall_seconds: float,
    ) -> None:
        UploadRpcs.__init__(
            self, artifacts, uploads, upload_streams, upload_slots, wait_slots, transfers, stall_seconds=stall_seconds
        )
        DownloadRpcs.__init__(
            self, artifacts, downloads, verification, download_slots, transfers, stall_seconds=stall_seconds
        )
