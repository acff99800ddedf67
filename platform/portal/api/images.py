"""API operations for images. An image is identified by its release, such as v3, or by a tag."""

from __future__ import annotations

from django.http import HttpRequest, StreamingHttpResponse
from ninja import Router, Status

from portal.api.authentication import person_of
from portal.api.schemas import (
    CommitIn,
    CompareIn,
    ImageJobOut,
    ImageLineOut,
    ImageOut,
    RolloutOut,
    SaveIn,
    TagIn,
)
from portal.api.shapes import image_job_out, image_line_out, image_out, rollout_out
from portal.apps.access import app_for
from portal.errors import NotFound
from portal.http.file_responses import file_response
from portal.images import actions
from portal.images.access import (
    image_for,
    images_of,
    instance_for,
    job_for,
    listed,
    named,
    tags_of,
    view_of,
)
from portal.images.jobs import archive_of
from portal.images.models import JobKind, JobState

router = Router(tags=["images"])


@router.get(
    "/images",
    response=list[ImageLineOut],
    summary="The images of all your apps, with their unique and shared sizes",
)
def list_images(request: HttpRequest) -> list[ImageLineOut]:
    return [image_line_out(line) for _, lines in images_of(person_of(request)) for line in lines]


@router.get("/apps/{name}/images", response=list[ImageLineOut], summary="The images of one app")
def list_images_of(request: HttpRequest, name: str) -> list[ImageLineOut]:
    return [image_line_out(line) for line in listed(app_for(person_of(request), name))]


@router.get(
    "/apps/{name}/images/{image}",
    response=ImageOut,
    summary="One image: its history, its shared layers and its configuration",
)
def show_image(request: HttpRequest, name: str, image: str) -> ImageOut:
    found = image_for(person_of(request), name, image)
    view = view_of(found.app, found.digest)
    if view is None:
        raise NotFound(
            f"The node has not reported image {image} yet.", hint="Try again within an hour."
        )
    return image_out(
        found, view, [tag.name for tag in tags_of(found.app).filter(digest=found.digest)]
    )


@router.post(
    "/apps/{name}/images/{image}/compare",
    response={202: ImageJobOut},
    summary="Compare its files with those of another image",
)
def compare(request: HttpRequest, name: str, image: str, body: CompareIn) -> Status[ImageJobOut]:
    person = person_of(request)
    before = image_for(person, name, image)
    return Status(
        202, image_job_out(actions.compare(person, before=before, after=named(before.app, body.to)))
    )


@router.post(
    "/apps/{name}/images/{image}/save",
    response={202: ImageJobOut},
    summary="Create an archive of it to download",
)
def save(request: HttpRequest, name: str, image: str, body: SaveIn) -> Status[ImageJobOut]:
    person = person_of(request)
    return Status(
        202,
        image_job_out(actions.save(person, image=image_for(person, name, image), form=body.format)),
    )


@router.post(
    "/apps/{name}/images/{image}/deploy",
    response={202: RolloutOut},
    summary="Create a release from it",
)
def deploy(request: HttpRequest, name: str, image: str) -> Status[RolloutOut]:
    person = person_of(request)
    return Status(202, rollout_out(actions.deploy(person, image=image_for(person, name, image))))


@router.put(
    "/apps/{name}/tags/{tag}",
    response={204: None},
    summary="Tag an image of the app; it is kept as long as it has a tag",
)
def add_tag(request: HttpRequest, name: str, tag: str, body: TagIn) -> Status[None]:
    person = person_of(request)
    actions.add_tag(person, image=image_for(person, name, body.image), tag=tag)
    return Status(204, None)


@router.delete("/apps/{name}/tags/{tag}", response={204: None}, summary="Remove a tag")
def remove_tag(request: HttpRequest, name: str, tag: str) -> Status[None]:
    person = person_of(request)
    actions.remove_tag(person, app=app_for(person, name), tag=tag)
    return Status(204, None)


@router.post(
    "/apps/{name}/instances/{instance}/diff",
    response={202: ImageJobOut},
    summary="Compare an instance's files with its image",
)
def diff(request: HttpRequest, name: str, instance: str) -> Status[ImageJobOut]:
    person = person_of(request)
    return Status(
        202,
        image_job_out(
            actions.look_at_instance(person, instance=instance_for(person, name, instance))
        ),
    )


@router.post(
    "/apps/{name}/instances/{instance}/commit",
    response={202: ImageJobOut},
    summary="Create an image from an instance",
)
def commit(request: HttpRequest, name: str, instance: str, body: CommitIn) -> Status[ImageJobOut]:
    person = person_of(request)
    found = instance_for(person, name, instance)
    return Status(
        202, image_job_out(actions.commit(person, instance=found, tag=body.tag, deploy=body.deploy))
    )


@router.get(
    "/apps/{name}/image-jobs/{number}",
    response=ImageJobOut,
    summary="Get the status and result of an image job",
)
def show_job(request: HttpRequest, name: str, number: int) -> ImageJobOut:
    return image_job_out(job_for(person_of(request), name, number))


@router.get(
    "/apps/{name}/image-jobs/{number}/file",
    summary="Download the archive of a save job; available for an hour",
)
def archive(request: HttpRequest, name: str, number: int) -> StreamingHttpResponse:
    job = job_for(person_of(request), name, number)
    path = archive_of(job)
    if job.kind != JobKind.SAVE or job.state != JobState.DONE or not path.exists():
        raise NotFound(
            "This job has no archive.",
            hint="Archives are deleted after an hour. Save the image again.",
        )
    return file_response(path, filename=job.result["filename"], content_type="application/x-tar")
