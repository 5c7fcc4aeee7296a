"""Copies of an image in several stores."""

from bivouac.core.call import Call
from bivouac.core.errors import Conflict, Forbidden, NotFound
from bivouac.core.store import Tx

from . import images


def remove_copy(tx: Tx, call: Call, image_id: str, store: str) -> None:
    """Take one copy away; the last one stays. Raises NotFound, Forbidden, Conflict."""
    image = images.show(tx, call, image_id)
    call.enforce("get_image_location", images.target_of(image))
    call.enforce("delete_image_location", images.target_of(image))
    if image.status != "active":
        raise Conflict("It's not allowed to remove image data from store if image status is not 'active'")
    if store not in image.stores:
        raise NotFound(f"Image {image_id} is not stored in store {store}.")
    if len(image.stores) + len(image.locations) == 1:
        raise Forbidden(
            "Cannot delete image data from the only store containing it. Consider deleting the image instead."
        )
    images.discard(tx, store, image.stores[store], call.now)
    images.save(tx, image, call.now, stores={name: blob for name, blob in image.stores.items() if name != store})
