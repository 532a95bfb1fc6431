"""Line buffers and the depthwise filter."""
