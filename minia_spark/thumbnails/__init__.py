"""Small copies of the images, made in the pass over the pixels, for pages that show images."""
